/** docs/directory.md against the reader of the document: every field, and whether it is required. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { parseDocument } from "../../proxy/route/document.ts";

const page = readFileSync(new URL("../../docs/directory.md", import.meta.url), "utf8");
const example = /```json\n([^`]+)```/.exec(page)?.[1] ?? assert.fail("no example");
const rows = [...page.matchAll(/^\| `([\w.[\]]+)` \| (.*?) \|/gm)].map((match) => ({
  path: match[1]!,
  fallback: match[2]!,
}));
const fields = rows.filter((row) => !row.path.includes("_"));

type Json = { [key: string]: unknown };

/** `projects[].peers[].uid` to the object that has it, in the first item of each list, and the field's name. */
function place(document: Json, path: string): { parent: Json; key: string } {
  const keys = path.split(".");
  let parent = document;
  for (const key of keys.slice(0, -1)) parent = (parent[key.replace("[]", "")] as Json[])[0]!;
  return { parent, key: keys.at(-1)! };
}

/** All fields of the example; the keys of a port map are data. */
function paths(value: Json, prefix = ""): string[] {
  return Object.entries(value).flatMap(([key, inner]) => {
    const path = `${prefix}${key}`;
    const first: unknown = Array.isArray(inner) ? inner[0] : null;
    return typeof first === "object" && first !== null ? [path, ...paths(first as Json, `${path}[].`)] : [path];
  });
}

test("the example is a document without a warning", () => {
  const parsed = parseDocument(example);
  assert.deepEqual(parsed.kind === "snapshot" ? parsed.warnings : parsed.problems, []);
});

test("the table names the fields of the example, each once", () => {
  assert.deepEqual(fields.map((row) => row.path).toSorted(), paths(JSON.parse(example) as Json).toSorted());
});

describe("what the table calls required is, and nothing else", () => {
  for (const { path, fallback } of fields) {
    test(path, () => {
      const document = JSON.parse(example) as Json;
      const { parent, key } = place(document, path);
      delete parent[key];
      const parsed = parseDocument(JSON.stringify(document));
      assert.equal(parsed.kind, fallback === "required" ? "refused" : "snapshot");
      if (parsed.kind === "refused")
        assert.match(
          parsed.problems[0]!,
          new RegExp(`^${path.replaceAll("[]", String.raw`\[0\]`).replaceAll(".", String.raw`\.`)}: missing`),
        );
    });
  }
});
