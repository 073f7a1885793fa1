import assert from "node:assert/strict";
import { test } from "node:test";
import { giveBackWhenIdle, lookEveryMs, quietShare, worthwhileBytes } from "../../../../proxy/memory/give-back.ts";
import { manualClock } from "../../../clock/manual-clock.ts";

/** A process whose business and size are set by hand. */
function start(): {
  readonly process: { busy: number; resident: number; left: number };
  readonly given: () => number;
  readonly look: () => Promise<void>;
} {
  const clock = manualClock();
  const process = { busy: 0, resident: 75_000_000, left: 70_000_000 };
  let count = 0;
  giveBackWhenIdle(clock, {
    busyShare: () => process.busy,
    resident: () => process.resident,
    giveBack: () => {
      count++;
      process.resident = process.left;
      return Promise.resolve();
    },
  });
  const look = async (): Promise<void> => {
    clock.advance(lookEveryMs);
    await new Promise(setImmediate);
  };
  return { process, given: () => count, look };
}

test("what the start took is given back at the first quiet look, not while there is something to do", async () => {
  const { process, given, look } = start();
  process.busy = quietShare * 1.01;
  await look();
  await look();
  assert.equal(given(), 0);
  process.busy = quietShare;
  await look();
  assert.equal(given(), 1);
});

test("it is not done again until the process has grown from what was left", async () => {
  const { process, given, look } = start();
  await look();
  for (let count = 0; count < 5; count++) await look();
  process.resident = process.left + worthwhileBytes - 1;
  await look();
  assert.equal(given(), 1);
  process.resident = process.left + worthwhileBytes;
  await look();
  assert.equal(given(), 2);
});

test("what cannot be given back is not tried for again", async () => {
  const { process, given, look } = start();
  process.left = process.resident;
  for (let count = 0; count < 5; count++) await look();
  assert.equal(given(), 1);
});
