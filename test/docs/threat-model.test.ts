/**
 * docs/threat-model.md has one row for each threat (T1 to T7) and each class of mistakes (1 to 37), each with a status
 * that the page explains: no class is open, and what it calls answered, wholly or in part, is shown by a test that exists.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/threat-model.md"), "utf8");

type Row = { readonly id: string; readonly status: string; readonly shown: string };

/** The rows of the tables of threats and of classes: their first cell is T1 or 1. */
const rows: readonly Row[] = [...page.matchAll(/^\| (T?\d+) \|.*$/gm)].map(([text, id]) => {
  const cells = text.split("|").map((cell) => cell.trim());
  return { id: id!, status: cells[id!.startsWith("T") ? 4 : 3]!, shown: cells[5]! };
});

const explained = [...page.matchAll(/^\| (answered|in part|open|not applicable) \|/gm)].map((match) => match[1]!);
const files = (text: string): string[] =>
  [...text.matchAll(/`((?:[a-z0-9.-]+\/)+[a-z0-9.-]+)`/g)].map((match) => match[1]!);

const expected = [
  ...Array.from({ length: 7 }, (_, index) => `T${index + 1}`),
  ...Array.from({ length: 37 }, (_, index) => String(index + 1)),
];

test("every threat and every class has exactly one row, in order", () => {
  assert.deepEqual(
    rows.map((row) => row.id),
    expected,
  );
});

test("every file that the page names exists", () => {
  assert.ok(files(page).length > 100, "the page names files");
  assert.deepEqual(
    files(page).filter((file) => !existsSync(join(root, file))),
    [],
  );
});

describe("each row", () => {
  for (const { id, status, shown } of rows) {
    test(`${id} has a status that the page explains, and what is answered, in part too, is shown by a test`, () => {
      const word = explained.find((each) => status === each || new RegExp(`^${each}[: ]`).test(status));
      assert.notEqual(word, undefined, status);
      if (!id.startsWith("T")) assert.notEqual(word, "open", "a class that nothing shows");
      const tests = files(shown).filter((file) => file.startsWith("test/"));
      if (word === "answered" || word === "in part") assert.ok(tests.length > 0, `${word}, and no test shows it`);
      assert.ok(shown.length > 0, "an empty last cell");
    });
  }
});
