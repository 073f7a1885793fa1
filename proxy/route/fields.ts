/**
 * Reads the fields of a JSON value and collects what is wrong with them, each with its path. Pure.
 *
 * Every reader returns a value of its type also after a problem: the caller builds on and throws the result away at
 * the end. Only own properties count, so a key such as `__proto__` is an unknown field and nothing more.
 */
import { isLinkLocal, isLoopback, isNobody, parseIp } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import { most } from "../../lib/directory/bounds.ts";
import { isName } from "../../lib/identity/spiffe-id.ts";

const mostLines = 20;

/** The problems and warnings of one document, cut to 20 lines each; a warning is told once for all items of a list. */
export class Findings {
  readonly problems: string[] = [];
  readonly #warnings = new Set<string>();
  #problemCount = 0;

  problem(path: string, text: string): void {
    if (this.#problemCount++ < mostLines) this.problems.push(`${path}: ${text}`);
  }

  warning(path: string, text: string): void {
    if (this.#warnings.size < mostLines) this.#warnings.add(`${path.replaceAll(/\[[0-9]+\]/g, "[]")}: ${text}`);
  }

  get failed(): boolean {
    return this.#problemCount > 0;
  }

  /** The problems, and a last line that counts those left out. */
  lines(): readonly string[] {
    const left = this.#problemCount - this.problems.length;
    return left > 0 ? [...this.problems, `and ${left} more`] : this.problems;
  }

  get warnings(): readonly string[] {
    return [...this.#warnings];
  }
}

const printable = /^[\x21-\x7e]{1,128}$/;

export class Field {
  readonly value: unknown;
  readonly findings: Findings;
  readonly #parent: Field | null;
  readonly #key: string | number;

  constructor(value: unknown, findings: Findings, at?: { parent: Field; key: string | number }) {
    this.value = value;
    this.findings = findings;
    this.#parent = at?.parent ?? null;
    this.#key = at?.key ?? "";
  }

  /** `services[3].endpoints[0].ip`. Keys come from the document: cut and quoted where they are no plain word. */
  get path(): string {
    if (this.#parent === null) return "";
    if (typeof this.#key === "number") return `${this.#parent.path}[${this.#key}]`;
    const key = /^\w{1,64}$/.test(this.#key) ? this.#key : JSON.stringify(this.#key.slice(0, 64));
    return this.#parent.path === "" ? key : `${this.#parent.path}.${key}`;
  }

  problem(text: string): void {
    this.findings.problem(this.path || "document", text);
  }

  warning(text: string): void {
    this.findings.warning(this.path || "document", text);
  }

  /** Absent and null are the same. */
  get absent(): boolean {
    return this.value === undefined || this.value === null;
  }

  /** The named fields of an object; others get a warning. */
  object<const K extends string>(names: readonly K[]): Readonly<Record<K, Field>> {
    const record = this.#record();
    for (const key of Object.keys(record)) {
      if (!(names as readonly string[]).includes(key)) this.#child(key, null).warning("unknown field, ignored");
    }
    const fields = names.map((name) => [
      name,
      this.#child(name, Object.hasOwn(record, name) ? record[name] : undefined),
    ]);
    return Object.fromEntries(fields) as Record<K, Field>;
  }

  /** The entries of an object whose keys are data. */
  entries(): readonly (readonly [string, Field])[] {
    return Object.entries(this.#record()).map(([key, value]) => [key, this.#child(key, value)]);
  }

  items(atMost: number): readonly Field[] {
    if (!Array.isArray(this.value)) {
      this.#wrong("a list");
      return [];
    }
    if (this.value.length > atMost) {
      this.problem(`more than ${atMost} items`);
      return [];
    }
    return this.value.map((value, key) => this.#child(key, value));
  }

  /** `fallback` where the field is absent. */
  optional<T>(fallback: T, read: (field: Field) => T): T {
    return this.absent ? fallback : read(this);
  }

  name(): string {
    return this.#text("a Kubernetes name", (text) => (isName(text) ? text : null)) ?? "";
  }

  uid(): string {
    return this.#text("a uid", (text) => (printable.test(text) ? text : null)) ?? "";
  }

  /** Any text that is not too long. */
  text(): string {
    const expected = `a text of at most ${most.text} characters`;
    return this.#text(expected, (text) => (text.length <= most.text ? text : null)) ?? "";
  }

  choice<const T extends string>(choices: readonly T[]): T {
    return (
      this.#text(`one of ${choices.join(", ")}`, (text) => choices.find((choice) => choice === text) ?? null) ??
      choices[0]!
    );
  }

  /** A text in the form that `parse` knows. */
  parsed<T>(expected: string, parse: (text: string) => T | null): T | null {
    return this.#text(expected, parse);
  }

  /** An address that a pod, node or Service can have, in canonical form. */
  ip(): Ip {
    if (typeof this.value !== "string") return this.#wrong("an IP address") as Ip;
    const ip = this.value.length <= 64 ? parseIp(this.value) : null;
    if (ip === null) this.problem("not an IP address");
    else if (ip !== this.value) this.problem(`not in canonical form: ${ip}`);
    else if (isLoopback(ip)) this.problem("a loopback address");
    else if (isLinkLocal(ip)) this.problem("a link-local address");
    else if (isNobody(ip)) this.problem("an address that no host can have");
    return ip ?? ("" as Ip);
  }

  port(): number {
    return this.integer(1, 65_535, "a port");
  }

  integer(min: number, max: number, expected: string): number {
    if (Number.isSafeInteger(this.value) && (this.value as number) >= min && (this.value as number) <= max)
      return this.value as number;
    this.#wrong(expected);
    return min;
  }

  boolean(): boolean {
    if (typeof this.value === "boolean") return this.value;
    this.#wrong("true or false");
    return false;
  }

  #text<T>(expected: string, parse: (text: string) => T | null): T | null {
    const parsed = typeof this.value === "string" ? parse(this.value) : null;
    if (parsed === null) this.#wrong(expected);
    return parsed;
  }

  #record(): Readonly<Record<string, unknown>> {
    if (typeof this.value === "object" && this.value !== null && !Array.isArray(this.value))
      return this.value as Record<string, unknown>;
    this.#wrong("an object");
    return {};
  }

  #wrong(expected: string): string {
    this.problem(this.absent ? `missing: expected ${expected}` : `expected ${expected}`);
    return "";
  }

  #child(key: string | number, value: unknown): Field {
    return new Field(value, this.findings, { parent: this, key });
  }
}
