/**
 * docs/performance.md is complete: every benchmark is on it with its command, every scenario of the data path in its table, every
 * goal beside the figure that was measured, and what misses its goal points at the reason.
 */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { scenarioNames } from "../../bench/data-path/arguments.ts";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/performance.md"), "utf8");

/** What the figures are held against. One that comes twice is two goals. */
const goals: readonly string[] = [
  "0.70 of HAProxy http",
  "0.55 of nginx",
  "1.1 of HAProxy http, p99",
  "1.1 of HAProxy http, p50",
  "3 times HAProxy tcp",
  "150 us a connection",
  "no source port runs out in 120 s",
  "1.5 times HAProxy, down",
  "1.5 times HAProxy, up",
  "150 MB/s at 2 ms",
  "2 times what it is without",
  "12 KB a connection",
  "20 MB",
  "65 MB",
  "300 ms without the ca",
  "150 ms from guard to proof",
  "150 us a chain",
  "1 000 a second of one core",
  "500 a second",
  "99 % within 25 ms",
  "1.5 s later",
  "90 MB compressed",
  "30 MB in a cluster",
  "2 s for a mode",
  "5 s after a replica is ready",
];

type Row = Readonly<Record<string, string>>;

const cellsOf = (line: string): readonly string[] =>
  line
    .slice(1, -1)
    .split("|")
    .map((cell) => cell.trim());

/** Every row of every table of the page, by the heads of its columns. */
const rows: readonly Row[] = [...page.matchAll(/^(\|.*\|)\n\|[-|]*\|\n((?:\|.*\|\n)*)/gm)].flatMap(([, head, body]) => {
  const heads = cellsOf(head!);
  return body!
    .trimEnd()
    .split("\n")
    .map((line) => Object.fromEntries(cellsOf(line).map((cell, index) => [heads[index], cell])));
});
const withGoal = rows.filter(({ goal = "" }) => goal !== "");

test("every benchmark is on the page, and no other", () => {
  const named = new Set([...page.matchAll(/`npm run bench -- ([a-z-]+)/g)].map((match) => match[1]!));
  const there = globSync("*.ts", { cwd: join(root, "bench") }).map((file) => file.replace(/\.ts$/, ""));
  assert.deepEqual([...named].toSorted(), there.filter((name) => name !== "main").toSorted());
});

test("every scenario of the data path is a row, and no other", () => {
  const named = new Set(rows.flatMap(({ scenario = "" }) => (scenario === "" ? [] : [scenario.replaceAll("`", "")])));
  assert.deepEqual([...named].toSorted(), [...scenarioNames].toSorted());
});

test("every goal is on the page, and no other", () => {
  assert.deepEqual(withGoal.map(({ goal = "" }) => goal).toSorted(), goals.toSorted());
});

for (const { goal = "", result = "" } of withGoal)
  test(`the goal of ${goal} is reached, or is missed for a reason that the page gives`, () => {
    assert.match(result, /^(?:reached: |\*\*missed\*\*: .*\d.*\[why\]\(#[a-z-]+\)$)/, `${goal}: ${result}`);
    assert.match(result, /\d/, `${goal}: the figure itself`);
  });
