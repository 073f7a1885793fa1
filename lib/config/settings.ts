/**
 * Reads settings from environment variables and reports every problem at once.
 *
 * A program declares what it reads by calling one method a setting, then `finish()`: either all values are usable or
 * the list of all problems is thrown as one `SettingsError` (exit code 64). The environment is an argument: only
 * `main.ts` files touch `process.env`. Variables that nothing read are returned for a warning, not refused; no warning is
 * worth what Kubernetes itself puts into pods beside a Service `tencrypt-ca`: `TENCRYPT_CA_PORT=tcp://...` and more. Pure.
 */
import { parseIp, parsePort } from "../net/address.ts";
import type { Ip } from "../net/address.ts";

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

/** What a fallback of `undefined` means: the setting is required. */
type Fallback<T> = T | undefined;

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

  /** Reads `name` through `parse`, which returns null for what it cannot use. An empty variable counts as absent. */
  read<T>(name: string, fallback: Fallback<T>, expected: string, parse: (text: string) => T | null): T {
    this.#seen.add(name);
    const text = this.#env[name];
    if (text === undefined || text === "") {
      if (fallback === undefined) this.#problems.push(`${name} is missing: expected ${expected}`);
      return fallback as T;
    }
    const value = parse(text);
    if (value === null) this.#problems.push(`${name} is ${JSON.stringify(text)}: expected ${expected}`);
    return value as T;
  }

  text(name: string, fallback?: string, expected = "a text"): string {
    return this.read(name, fallback, expected, (text) => text);
  }

  /** A setting that may be absent. */
  optional(name: string): string | null {
    return this.read<string | null>(name, null, "a text", (text) => text);
  }

  /** 0 means any free port, which is then logged. */
  port(name: string, fallback?: number): number {
    return this.read(name, fallback, "a port from 0 to 65535", (text) => (text === "0" ? 0 : parsePort(text)));
  }

  integer(name: string, range: { min: number; max: number }, fallback?: number): number {
    return this.read(name, fallback, `a whole number from ${range.min} to ${range.max}`, (text) => {
      const value = /^(?:0|[1-9][0-9]{0,14})$/.test(text) ? Number(text) : Number.NaN;
      return value >= range.min && value <= range.max ? value : null;
    });
  }

  /** Milliseconds. */
  duration(name: string, fallback?: number): number {
    return this.read(name, fallback, "a duration such as 20s, 15m or 24h", parseDuration);
  }

  choice<const T extends string>(name: string, choices: readonly T[], fallback?: T): T {
    return this.read(
      name,
      fallback,
      `one of ${choices.join(", ")}`,
      (text) => choices.find((choice) => choice === text) ?? null,
    );
  }

  ips(name: string): readonly Ip[] {
    return this.read<readonly Ip[]>(name, undefined, "comma-separated IP addresses", (text) => {
      const ips = text.split(",").map((part) => parseIp(part.trim()));
      return ips.every((ip) => ip !== null) ? ips : null;
    });
  }

  /** Throws all problems at once; otherwise names the `TENCRYPT_` variables that nothing read, for a warning. */
  finish(): readonly string[] {
    if (this.#problems.length > 0) throw new SettingsError(this.#problems);
    return Object.entries(this.#env)
      .filter(([name, value]) => name.startsWith("TENCRYPT_") && !this.#seen.has(name) && !isServiceLink(name, value))
      .map(([name]) => name);
  }
}
