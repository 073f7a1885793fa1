/** A session that nobody uses is given up after a while, and only then. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { pingIntervalMs, Session, unusedMs } from "../../../../proxy/session/session.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import { stream } from "./pair.ts";
import { peer } from "./peer.ts";

test("five minutes after its last stream, counted anew with each", async (t) => {
  const clock = manualClock(Date.now());
  const here = await peer(t, {
    clock,
    onStream: (asked) => {
      asked.respond({ ":status": 200 });
      asked.end();
    },
  });
  const use = async (): Promise<void> => {
    const short = await stream(here);
    short.resume();
    short.end();
    await once(short, "close");
    // By then it is known to have no stream.
    clock.advance(pingIntervalMs);
  };
  await use();
  const [session] = here.pool.sessions;
  clock.advance(unusedMs - 1);
  assert.equal(session!.usable, true);
  await use();
  assert.deepEqual(here.pool.sessions, [session], "it was used again");
  clock.advance(unusedMs - 1);
  assert.equal(session!.usable, true);
  clock.advance(1);
  assert.equal(session!.usable, false);
  if (!session!.facts.http2.destroyed) await once(session!.facts.http2, "close");
  assert.deepEqual(here.pool.sessions, []);
});

test("also where no stream was ever opened on it", async (t) => {
  const clock = manualClock(Date.now());
  const here = await peer(t, { clock, onStream: (asked) => asked.respond({ ":status": 200 }) });
  // A stream that stays open keeps the session for itself: only the second one can give it up.
  await stream(here);
  const { facts, terms } = here.pool.sessions[0]!;
  const never = new Session(facts, terms, () => {});
  for (let passed = 0; passed < unusedMs; passed += pingIntervalMs) {
    clock.advance(pingIntervalMs);
    // The PING of the one in use has its answer before this one has.
    await new Promise((resolve) => facts.http2.ping(resolve));
  }
  assert.equal(never.usable, true);
  clock.advance(pingIntervalMs);
  assert.equal(never.usable, false);
});
