/** However much a field holds, a line stays one that is read, and that the writer has room for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatLine } from "../../../../lib/log/log.ts";

test("of a list that is long the beginning is written, and how much more there is", () => {
  const projects = Array.from({ length: 5000 }, (_, index) => `project-${index}`);
  const line = formatLine(0, "info", "trust_bundle_updated", { projects, nested: { projects } });
  const read = JSON.parse(line) as { projects: string[]; nested: { projects: string[] } };
  assert.deepEqual(read.projects, [...projects.slice(0, 64), "… and 4936 more"]);
  assert.deepEqual(read.nested.projects, read.projects);
});

test("a list that is not long is written as it is", () => {
  const names = Array.from({ length: 64 }, (_, index) => index);
  assert.deepEqual((JSON.parse(formatLine(0, "info", "x", { names })) as { names: number[] }).names, names);
});
