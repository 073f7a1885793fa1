/** docs/adr holds decision records with unique, consecutive numbers, which their titles repeat. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const folder = join(import.meta.dirname, "../../docs/adr");
const files = readdirSync(folder).toSorted();

test("decision records are numbered from 1 without a gap", () => {
  const expected = files.map((_, index) => String(index + 1).padStart(4, "0"));
  assert.ok(files.length > 0);
  assert.deepEqual(
    files.map((file) => /^([0-9]{4})-[a-z0-9-]+\.md$/.exec(file)?.[1] ?? file),
    expected,
  );
});

for (const file of files) {
  test(`decision record ${file} repeats its number and has a status`, () => {
    const page = readFileSync(join(folder, file), "utf8");
    assert.match(page, new RegExp(`^# ${Number(file.slice(0, 4))}\\. \\S`));
    assert.match(page, /^Status: (?:proposed|accepted|superseded by [0-9]{4})$/m);
  });
}
