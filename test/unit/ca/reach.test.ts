/** A ca whose API server does not answer is not ready, and is again when it does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Reach } from "../../../ca/reach.ts";
import type { KubeClient } from "../../../lib/kube/client.ts";
import { manualClock } from "../../clock/manual-clock.ts";

test("reach is lost after three questions without an answer, and back with the first", async () => {
  const clock = manualClock();
  const state = { answers: true };
  const serverTime = (): Promise<number | null> =>
    state.answers ? Promise.resolve(0) : Promise.reject(new Error("connection refused"));
  const reach = new Reach({ serverTime } as KubeClient, clock);
  reach.start();
  const pass = async (): Promise<void> => {
    clock.advance(10_000);
    await new Promise((resolve) => setImmediate(resolve));
  };
  for (let round = 0; round < 10; round++) await pass();
  assert.ok(reach.isReachable);
  state.answers = false;
  for (let round = 0; round < 3; round++) await pass();
  assert.ok(reach.isReachable, "patience");
  await pass();
  assert.ok(!reach.isReachable);
  state.answers = true;
  await pass();
  assert.ok(reach.isReachable);
  reach.stop();
});
