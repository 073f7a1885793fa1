/** A peer that takes a CONNECT and never answers holds no connection for ever. */
import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { answerTimeoutMs, openStream } from "../../../../proxy/session/open-stream.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import { peer } from "./peer.ts";

test("a request that is not answered fails in time, and its session takes no new one", async (t) => {
  const clock = manualClock(Date.now());
  const arrived = Promise.withResolvers<ServerHttp2Stream>();
  const { pool, request } = await peer(t, { clock, onStream: arrived.resolve });
  const opening = openStream(pool, request);
  const stream = await arrived.promise;
  const closed = new Promise((resolve) => stream.once("close", resolve));
  clock.advance(answerTimeoutMs);
  assert.deepEqual(await opening, {
    kind: "failed",
    reason: "peer_timeout",
    detail: "no answer within 10000 ms",
    claimed: null,
    final: false,
  });
  await closed;
  assert.deepEqual(
    pool.sessions.filter((session) => session.usable),
    [],
  );
});

test("an answer stops the clock", async (t) => {
  const clock = manualClock(Date.now());
  const { pool, request } = await peer(t, { clock, onStream: (stream) => stream.respond({ ":status": 200 }) });
  const opened = await openStream(pool, request);
  clock.advance(answerTimeoutMs);
  assert.ok(opened.kind === "stream");
  assert.equal(opened.stream.destroyed, false);
});
