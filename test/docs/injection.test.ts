/** docs/injection.md lists exactly the skip and refusal reasons of the code. `npm run golden` writes the table. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { injectReasons } from "../../lib/inject/reasons.ts";

const path = join(import.meta.dirname, "../../docs/injection.md");
const table = /(?<=^\| reason \| outcome \| what \| what to do \|\n\|---.*\n)(?:\|.*\n)*/m;
const rows = Object.entries(injectReasons).map(
  ([reason, { outcome, what, hint }]) => `| \`${reason}\` | ${outcome} | ${what} | ${hint} |`,
);

if (process.env["GOLDEN"] === "update") {
  const page = readFileSync(path, "utf8");
  writeFileSync(
    path,
    page.replace(table, () => rows.map((row) => `${row}\n`).join("")),
  );
}

test("docs/injection.md lists the reasons of the code and no other", () => {
  assert.deepEqual(table.exec(readFileSync(path, "utf8"))?.[0].trimEnd().split("\n"), rows);
});
