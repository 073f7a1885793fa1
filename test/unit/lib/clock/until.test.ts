/** A wait for a moment of the wall clock: it ends there however the clock got there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../../../../lib/clock/clock.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import type { ManualClock } from "../../../clock/manual-clock.ts";

const hour = 3_600_000;

function waiting(ms: number): { clock: ManualClock; calledAt: number[]; cancel: () => void } {
  const clock = manualClock(0);
  const calledAt: number[] = [];
  const timer = until(clock, ms, () => void calledAt.push(clock.monotonic()));
  return { clock, calledAt, cancel: () => timer.cancel() };
}

test("at that very moment, and once", () => {
  const { clock, calledAt } = waiting(12 * hour);
  clock.advance(12 * hour - 1);
  assert.deepEqual(calledAt, []);
  clock.advance(12 * hour);
  assert.deepEqual(calledAt, [12 * hour]);
  assert.equal(clock.pending, 0);
});

test("within half a minute of waking up behind it", () => {
  const { clock, calledAt } = waiting(12 * hour);
  clock.advance(hour);
  clock.leap(20 * hour);
  clock.advance(30_000);
  assert.deepEqual(calledAt, [hour + 30_000]);
});

test("later where the clock is set back", () => {
  const { clock, calledAt } = waiting(hour);
  clock.leap(-hour);
  clock.advance(2 * hour - 1);
  assert.deepEqual(calledAt, []);
  clock.advance(1);
  assert.deepEqual(calledAt, [2 * hour]);
});

test("a moment that is over: soon, but not in this turn", () => {
  const { clock, calledAt } = waiting(-1);
  assert.deepEqual(calledAt, []);
  clock.advance(0);
  assert.deepEqual(calledAt, [0]);
});

test("cancelled after many looks at the clock: never", () => {
  const { clock, calledAt, cancel } = waiting(hour);
  clock.advance(hour / 2);
  cancel();
  clock.advance(hour);
  assert.deepEqual(calledAt, []);
  assert.equal(clock.pending, 0);
});
