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

export function explain(code: string, options: { readonly output: Format }, screen: Terminal): void {
  const found = explanation(code);
  if (found === null) {
    const near = allCodes()
      .filter((known) => known.includes(code.toLowerCase()) || code.includes(known))
      .slice(0, 5);
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
