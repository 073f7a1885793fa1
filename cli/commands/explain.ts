/** `tencrypt explain CODE`: what a code means that stands in a log line, a metric, a span, an annotation or a check. */
import { reasons } from "../../lib/errors/reasons.ts";
import { injectReasons } from "../../lib/inject/reasons.ts";
import { checkCodes } from "../checks/codes.ts";
import { Failure, usageCode } from "../failure.ts";
import { structured } from "../terminal.ts";
import type { Format, Terminal } from "../terminal.ts";

export type Explanation = {
  readonly code: string;
  /** Where such a code appears. */
  readonly kind: "refusal" | "injection" | "check";
  readonly what: string;
  readonly next: string;
  readonly causedBy: string;
};

const own = <T extends object>(table: T, code: string): T[keyof T] | undefined =>
  Object.hasOwn(table, code) ? table[code as keyof T] : undefined;

export function explanation(code: string): Explanation | null {
  const refusal = own(reasons, code);
  if (refusal !== undefined)
    return { code, kind: "refusal", what: refusal.what, next: refusal.hint, causedBy: refusal.initiator };
  const injection = own(injectReasons, code);
  if (injection !== undefined)
    return { code, kind: "injection", what: injection.what, next: injection.hint, causedBy: injection.outcome };
  const check = own(checkCodes, code.toUpperCase());
  return check === undefined
    ? null
    : { code: code.toUpperCase(), kind: "check", what: check.what, next: check.hint, causedBy: "" };
}

const allCodes = (): readonly string[] => [reasons, injectReasons, checkCodes].flatMap((table) => Object.keys(table));

const bare = (code: string): string => code.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
const pairsOf = (text: string): ReadonlySet<string> =>
  new Set(Array.from({ length: Math.max(0, text.length - 1) }, (_, at) => text.slice(at, at + 2)));

/** How much two have in common: from 0 to 1, by their pairs of letters. */
function likeness(one: string, other: string): number {
  const [a, b] = [pairsOf(one), pairsOf(other)];
  return a.size === 0 ? 0 : (2 * [...a].filter((pair) => b.has(pair)).length) / (a.size + b.size);
}

const alike = 0.6;
const mostNear = 5;

/** Codes that may have been meant, the likeliest first. */
export function nearOf(code: string): readonly string[] {
  const meant = bare(code);
  return allCodes()
    .map((known) => ({ known, like: likeness(meant, bare(known)), holds: meant !== "" && bare(known).includes(meant) }))
    .filter(({ like, holds }) => like >= alike || holds)
    .toSorted((a, b) => b.like - a.like)
    .slice(0, mostNear)
    .map(({ known }) => known);
}

export function explain(code: string, options: { readonly output: Format }, screen: Terminal): void {
  const found = explanation(code);
  if (found === null) {
    const near = nearOf(code);
    throw new Failure(
      `there is no code ${code}${near.length === 0 ? "" : `; do you mean ${near.join(", ")}?`}`,
      "docs/errors.md, docs/injection.md and docs/cli.md list all of them",
      usageCode,
    );
  }
  if (options.output !== "table") return screen.data(structured(found, options.output));
  const cause = found.causedBy === "" ? "" : ` (${found.causedBy})`;
  screen.data(`${found.code}: ${found.kind}${cause}\n\n  ${found.what}\n\n  next: ${found.next}\n`);
}
