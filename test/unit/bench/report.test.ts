/** Numbers of the measurements are made in one place. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { median } from "../../../bench/data-path/report.ts";

test("the median of an even count lies between the two in the middle", () => {
  assert.equal(median([1_230, 1_000, 1_010, 1_020, 1_030, 1_200, 1_210, 1_220]), 1_115);
  assert.equal(median([3, 1, 2]), 2);
});

test("no measurement has a median, or a reader of proc(5), of its own", () => {
  const folder = join(import.meta.dirname, "../../../bench");
  for (const name of readdirSync(folder).filter((each) => each.endsWith(".ts"))) {
    const text = readFileSync(join(folder, name), "utf8");
    assert.doesNotMatch(text, /(?:const|function) (?:median|cpuMs|cpuOf|memoryOf)\b/, name);
    assert.doesNotMatch(text, /smaps_rollup|\/stat`/, name);
  }
});
