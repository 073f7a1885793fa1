/** How often the ca looks whether its own issuer is to be replaced. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { keepControlPlaneAlive } from "../../../ca/renewal.ts";
import { manualClock } from "../../clock/manual-clock.ts";

const day = 86_400_000;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("once a day, one look at a time, until it is stopped", async () => {
  const clock = manualClock();
  let looks = 0;
  let finish = (): void => {};
  const renewControlPlane = (): Promise<void> => {
    looks++;
    return new Promise((resolve) => (finish = resolve));
  };
  const stop = keepControlPlaneAlive({ renewControlPlane }, clock);
  clock.advance(day - 1);
  assert.equal(looks, 0);
  clock.advance(1);
  clock.advance(day);
  assert.equal(looks, 1, "the first is under way");
  finish();
  await turn();
  clock.advance(day);
  assert.equal(looks, 2);
  stop();
  finish();
  await turn();
  assert.equal(clock.pending, 0);
});
