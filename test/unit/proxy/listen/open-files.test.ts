/** What fits into the open files that the kernel allows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { capacityOf, openFilesLimit } from "../../../../proxy/listen/open-files.ts";

const cases: readonly (readonly [number, number, { connections: number; halfOpen: number }])[] = [
  [Number.POSITIVE_INFINITY, 10_000, { connections: 10_000, halfOpen: 256 }],
  [20_400, 10_000, { connections: 10_000, halfOpen: 256 }],
  [20_300, 10_000, { connections: 9_990, halfOpen: 256 }],
  [1_024, 10_000, { connections: 352, halfOpen: 256 }],
  [1_024, 100, { connections: 100, halfOpen: 256 }],
  [256, 10_000, { connections: 64, halfOpen: 64 }],
  [64, 10_000, { connections: 1, halfOpen: 16 }],
];

for (const [openFiles, wanted, expected] of cases)
  test(`${openFiles} open files, ${wanted} connections wanted: ${JSON.stringify(expected)}`, () =>
    assert.deepEqual(capacityOf(openFiles, wanted), expected));

test("what fits stays below the limit, whatever is asked for", () => {
  for (let openFiles = 128; openFiles < 30_000; openFiles += 61) {
    const { connections, halfOpen } = capacityOf(openFiles, 10_000);
    assert.ok(2 * connections + halfOpen + 60 <= openFiles, `${openFiles}: ${connections}, ${halfOpen}`);
  }
});

test("this process has a limit", () => {
  assert.ok(openFilesLimit() > 100);
});
