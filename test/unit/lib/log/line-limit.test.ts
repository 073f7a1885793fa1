/** However many events there are, the lines are few, and no event goes uncounted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limitLines } from "../../../../lib/log/line-limit.ts";
import type { LineLimits, Limited } from "../../../../lib/log/line-limit.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import type { ManualClock } from "../../../clock/manual-clock.ts";

type Line = [event: string, count: number, merged: boolean];

function setUp(limits: LineLimits): { clock: ManualClock; lines: Line[]; limited: Limited<string> } {
  const clock = manualClock();
  const lines: Line[] = [];
  return {
    clock,
    lines,
    limited: limitLines<string>(clock, (event, count, merged) => lines.push([event, count, merged]), limits),
  };
}

test("the first of a key go out at once, the rest of the second as one line with the count", () => {
  const { clock, lines, limited } = setUp({ perKey: 2, perSecond: 100, keys: 10 });
  for (let at = 1; at <= 10; at++) limited.take("k", "c", `event ${at}`);
  limited.take("other", "c", "other");
  assert.deepEqual(lines.splice(0), [
    ["event 1", 1, false],
    ["event 2", 1, false],
    ["other", 1, false],
  ]);
  clock.advance(999);
  assert.equal(lines.length, 0);
  clock.advance(1);
  assert.deepEqual(lines.splice(0), [["event 10", 8, false]]);
  limited.take("k", "c", "event 11");
  assert.deepEqual(lines, [["event 11", 1, false]]);
});

test("no timer runs while nothing happens", () => {
  const { clock, limited } = setUp({ perKey: 1, perSecond: 10, keys: 10 });
  assert.equal(clock.pending, 0);
  limited.take("k", "c", "event");
  assert.equal(clock.pending, 1);
  clock.advance(1_000);
  assert.equal(clock.pending, 0);
});

test("10 000 keys make a bounded number of lines, and every event is counted", () => {
  const { clock, lines, limited } = setUp({ perKey: 5, perSecond: 20, keys: 30 });
  for (let at = 0; at < 10_000; at++) limited.take(`key ${at}`, at % 2 === 0 ? "even" : "odd", `event ${at}`);
  assert.equal(lines.length, 20);
  clock.advance(1_000);
  assert.equal(lines.length, 20 + 10 + 2);
  assert.deepEqual(lines.slice(-2), [
    ["event 9998", 4_985, true],
    ["event 9999", 4_985, true],
  ]);
  assert.equal(
    lines.reduce((sum, [, count]) => sum + count, 0),
    10_000,
  );
});

test("stop writes what waits and leaves no timer", () => {
  const { clock, lines, limited } = setUp({ perKey: 1, perSecond: 10, keys: 10 });
  for (const event of ["a", "b", "c"]) limited.take("k", "c", event);
  limited.stop();
  assert.deepEqual(lines, [
    ["a", 1, false],
    ["c", 2, false],
  ]);
  assert.equal(clock.pending, 0);
});
