/** One finding, before it is known in which section it is told. Pure. */
import { checkCodes } from "./codes.ts";
import type { CheckCode, Finding } from "./codes.ts";

export type Judged = Omit<Finding, "section">;

export const finding = (
  code: CheckCode,
  level: Finding["level"],
  text: string,
  details: readonly string[] = [],
): Judged => ({
  code,
  level,
  text,
  details,
  next: level === "good" ? "" : checkCodes[code].hint,
});

/** What was not seen is no fault yet, and mending it as one could do harm: what is to be done is another check's matter. */
export const notKnown = (
  code: CheckCode,
  hintOf: "TC-CP-03" | "TC-K8S-05",
  text: string,
  details: readonly string[] = [],
): Judged => ({ ...finding(code, "warning", text, details), next: checkCodes[hintOf].hint });

export const inSection = (section: string, findings: readonly Judged[]): readonly Finding[] =>
  findings.map((each) => ({ section, ...each }));
