/**
 * Reads settings from environment variables and reports every problem at once.
 *
 * A program declares what it reads by calling one method a setting, then `finish(values)`: either all values are usable
 * or the list of all problems is thrown as one `SettingsError` (exit code 64). What compares settings does so only where
 * none of them is `undefined`: a problem that follows from another one is none. The environment is an argument: only
 * `main.ts` files touch `process.env`. Variables that nothing read are not refused but returned, for a warning; those that
 * Kubernetes itself sets for a Service `tencrypt-ca` (`TENCRYPT_CA_PORT=tcp://...` and more) are not worth one. Pure.
 */
import { isName } from "../identity/spiffe-id.ts";
import type { Level } from "../log/log.ts";
import { parsePort } from "../net/address.ts";
import { parseHostPort } from "../net/host-port.ts";
import type { HostPort } from "../net/host-port.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export class SettingsError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join("; "));
    this.problems = problems;
  }
}

const durationText = /^([0-9]{1,9})(ms|s|m|h|d)$/;
const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `500ms`, `20s`, `15m`, `24h`, `7d` to milliseconds; null for anything else. */
export function parseDuration(text: string): number | null {
  const match = durationText.exec(text);
  return match === null ? null : Number(match[1]) * unitMs[match[2]!]!;
}

const linkName = /_(?:SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/;
const isServiceLink = (name: string, value = ""): boolean => linkName.test(name) || /^(?:tcp|udp|sctp):/.test(value);

/** `undefined` stands for what is missing or cannot be used: the problem is recorded, so `finish` throws. */
type Usable<V> = { readonly [K in keyof V]: Exclude<V[K], undefined> };

export class Settings {
  readonly #env: Environment;
  readonly #problems: string[] = [];
  readonly #seen = new Set<string>();

  constructor(env: Environment) {
    this.#env = env;
  }

  /** Adds a problem that concerns more than one setting. */
  problem(text: string): void {
    this.#problems.push(text);
  }

  /**
   * Reads `name` through `parse`, which returns null for what it cannot use. An empty variable counts as absent; without
   * a fallback the setting is required.
   */
  read<T>(name: string, fallback: T | undefined, expected: string, parse: (text: string) => T | null): T | undefined {
    this.#seen.add(name);
    const text = this.#env[name];
    if (text === undefined || text === "") {
      if (fallback === undefined) this.#problems.push(`${name} is missing: expected ${expected}`);
      return fallback;
    }
    const value = parse(text);
    if (value === null) this.#problems.push(`${name} is ${JSON.stringify(text)}: expected ${expected}`);
    return value ?? undefined;
  }

  text(name: string, fallback?: string, expected = "a text"): string | undefined {
    return this.read(name, fallback, expected, (text) => text);
  }

  /** A setting that may be absent: nothing else is wrong with a text. */
  optional(name: string): string | null {
    this.#seen.add(name);
    return this.#env[name] || null;
  }

  /** 0 means any free port, which is then logged. */
  port<F extends number | null = number>(name: string, fallback?: F): number | F | undefined {
    const parse = (text: string): number | null => (text === "0" ? 0 : parsePort(text));
    return this.read<number | F>(name, fallback, "a port from 0 to 65535", parse);
  }

  /** `host:port` to dial. */
  address(name: string): string | undefined {
    return this.read(name, undefined, "host:port", (text) => ((parseHostPort(text)?.port ?? 0) === 0 ? null : text));
  }

  /** A host and a port to listen on. */
  listen(name: string, usualPort: number): HostPort | undefined {
    const expected = `a host and a port such as 0.0.0.0:${usualPort} or [::]:${usualPort}`;
    return this.read(name, undefined, expected, parseHostPort);
  }

  integer<F extends number | null = number>(
    name: string,
    range: { min: number; max: number },
    fallback?: F,
  ): number | F | undefined {
    return this.read<number | F>(name, fallback, `a whole number from ${range.min} to ${range.max}`, (text) => {
      const value = /^(?:0|[1-9][0-9]{0,14})$/.test(text) ? Number(text) : Number.NaN;
      return value >= range.min && value <= range.max ? value : null;
    });
  }

  /** Milliseconds. */
  duration(name: string, fallback?: number): number | undefined {
    return this.read(name, fallback, "a duration such as 20s, 15m or 24h", parseDuration);
  }

  choice<const T extends string>(name: string, choices: readonly T[], fallback?: T): T | undefined {
    return this.read(
      name,
      fallback,
      `one of ${choices.join(", ")}`,
      (text) => choices.find((choice) => choice === text) ?? null,
    );
  }

  /** Entries between commas, each of a form that `parse` can use. */
  list<T>(
    name: string,
    fallback: readonly T[] | undefined,
    expected: string,
    parse: (entry: string) => T | null,
  ): readonly T[] | undefined {
    return this.read(name, fallback, `comma-separated ${expected}`, (text) => {
      const entries = text.split(",").map((entry) => parse(entry.trim()));
      return entries.every((entry) => entry !== null) ? entries : null;
    });
  }

  /** A name as Kubernetes gives them to its objects. */
  name(variable: string): string | undefined {
    return this.read(variable, undefined, "a Kubernetes name", (text) => (isName(text) ? text : null));
  }

  logLevel(): Level | undefined {
    return this.choice<Level>("TENCRYPT_LOG_LEVEL", ["debug", "info", "warn", "error"], "info");
  }

  /** What is usable only if each of its parts is. */
  whole<const V extends object>(parts: V): Usable<V> | undefined {
    return isWhole(parts) ? parts : undefined;
  }

  /** Throws all problems at once; otherwise adds the `TENCRYPT_` variables that nothing read, for a warning. */
  finish<const V extends object>(values: V): Usable<V> & { readonly unread: readonly string[] } {
    if (this.#problems.length > 0 || !isWhole(values)) throw new SettingsError(this.#problems);
    const unread = Object.entries(this.#env)
      .filter(([name, value]) => name.startsWith("TENCRYPT_") && !this.#seen.has(name) && !isServiceLink(name, value))
      .map(([name]) => name);
    return Object.freeze({ ...(values as Usable<V>), unread }) as Usable<V> & { readonly unread: readonly string[] };
  }
}

const isWhole = <V extends object>(parts: V): parts is V & Usable<V> => !Object.values(parts).includes(undefined);
