/** What came of one check or test, and how it is told: a line a file while it runs, the whole at the end. */

export type Outcome =
  | { readonly kind: "passed"; readonly name: string; readonly ms: number }
  | { readonly kind: "failed"; readonly name: string; readonly ms: number; readonly detail: string }
  | { readonly kind: "skipped"; readonly name: string; readonly ms: number; readonly reason: string };

export type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number };

const colours = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;
const paint = (code: number, text: string): string => (colours ? `\u001B[${code}m${text}\u001B[0m` : text);
const marks = { passed: paint(32, "✓"), failed: paint(31, "✗"), skipped: paint(33, "-") };

const indent = (text: string): string => text.trimEnd().replaceAll(/^/gm, "      ");
const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
const plural = (amount: number, noun: string): string => `${amount} ${noun}${amount === 1 ? "" : "s"}`;

export function count(outcomes: readonly Outcome[]): Counts {
  const numberOf = (kind: Outcome["kind"]): number => outcomes.filter((outcome) => outcome.kind === kind).length;
  return { passed: numberOf("passed"), failed: numberOf("failed"), skipped: numberOf("skipped") };
}

/** One line for a file (or check) that has ended, with its failures in full below. */
export function printFile(name: string, outcomes: readonly Outcome[], ms: number): void {
  const { passed, failed, skipped } = count(outcomes);
  const mark = failed > 0 ? marks.failed : passed > 0 ? marks.passed : marks.skipped;
  const tests = passed + failed;
  const skips = skipped > 0 ? `, ${skipped} skipped` : "";
  console.log(`  ${mark} ${name.padEnd(64)} ${plural(tests, "test").padStart(9)}${skips}  ${seconds(ms)}`);
  for (const outcome of outcomes) {
    if (outcome.kind === "failed") console.log(`    ${marks.failed} ${outcome.name}\n${indent(outcome.detail)}`);
  }
}

function printSkips(outcomes: readonly Outcome[]): void {
  const byReason = new Map<string, string[]>();
  for (const outcome of outcomes) {
    if (outcome.kind !== "skipped") continue;
    byReason.set(outcome.reason, [...(byReason.get(outcome.reason) ?? []), outcome.name]);
  }
  if (byReason.size > 0) console.log("\nskipped");
  for (const [reason, names] of byReason) {
    console.log(`  ${marks.skipped} ${reason} (${plural(names.length, "test")})`);
    for (const name of names) console.log(`      ${name}`);
  }
}

function printSlowest(outcomes: readonly Outcome[]): void {
  const slow = outcomes.filter((outcome) => outcome.ms >= 500).toSorted((one, other) => other.ms - one.ms);
  if (slow.length > 0) console.log("\nslowest");
  for (const outcome of slow.slice(0, 8)) console.log(`  ${seconds(outcome.ms).padStart(8)}  ${outcome.name}`);
}

function printFailures(outcomes: readonly Outcome[]): void {
  const failures = outcomes.filter((outcome) => outcome.kind === "failed");
  if (failures.length > 0) console.log("\nfailed");
  for (const outcome of failures) console.log(`  ${marks.failed} ${outcome.name}`);
}

/** The end of a run; its last line is the one that scripts read. */
export function printSummary(outcomes: readonly Outcome[]): void {
  printSkips(outcomes);
  printSlowest(outcomes);
  printFailures(outcomes);
  const { passed, failed, skipped } = count(outcomes);
  console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
}
