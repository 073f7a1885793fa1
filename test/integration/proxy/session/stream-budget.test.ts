/** Connections that arrive while a session is dialled share it only as far as the peer's stream limit goes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { systemClock } from "../../../../lib/clock/clock.ts";
import { openStream } from "../../../../proxy/session/open-stream.ts";
import { mostSessionsPerPeer } from "../../../../proxy/session/surplus.ts";
import { peer } from "./peer.ts";

const answered = { onStream: (stream: ServerHttp2Stream): void => stream.respond({ ":status": 200 }) };

test("a burst fills as many sessions as it needs, each to 80 % of the peer's limit", async (t) => {
  const { pool, request } = await peer(t, { clock: systemClock, settings: { maxConcurrentStreams: 10 }, ...answered });
  const opened = await Promise.all(Array.from({ length: 20 }, () => openStream(pool, request)));
  assert.deepEqual([...new Set(opened.map(({ kind }) => kind))], ["stream"]);
  assert.deepEqual(
    pool.sessions.map(({ streams }) => streams),
    [8, 8, 4],
  );
});

test("a peer that allows one stream a session gets one", async (t) => {
  const { pool, request } = await peer(t, { clock: systemClock, settings: { maxConcurrentStreams: 1 }, ...answered });
  const opened = await Promise.all([openStream(pool, request), openStream(pool, request)]);
  assert.deepEqual(
    opened.map(({ kind }) => kind),
    ["stream", "stream"],
  );
  assert.deepEqual(
    pool.sessions.map(({ streams }) => streams),
    [1, 1],
  );
});

test("a peer that allows no stream is given up, not dialled for ever", async (t) => {
  const { pool, request, accepted } = await peer(t, {
    clock: systemClock,
    settings: { maxConcurrentStreams: 0 },
    ...answered,
  });
  const opened = await openStream(pool, request);
  assert.deepEqual(opened, {
    kind: "failed",
    reason: "session_lost",
    detail: "the peer allows no stream",
    claimed: null,
    final: false,
  });
  // The session is tried again once, like every one that is lost before an answer; none of the two is kept.
  assert.equal(accepted.length, 2);
  assert.deepEqual(pool.sessions, []);
});

test("another service account than the one that was verified does not share its session", async (t) => {
  const { pool, request } = await peer(t, { clock: systemClock, ...answered });
  assert.equal((await openStream(pool, request)).kind, "stream");
  const other = { ...request, target: { ...request.target, serviceAccount: "mailer" } };
  const opened = await openStream(pool, other);
  assert.equal(opened.kind === "failed" ? opened.reason : opened.kind, "identity_mismatch");
});

test("a peer that lowers its limit after each session gets a bounded number of them", async (t) => {
  const { pool, request, accepted } = await peer(t, {
    clock: systemClock,
    onStream: (stream) => {
      stream.session?.settings({ maxConcurrentStreams: 0 });
      stream.respond({ ":status": 200 }, { endStream: true });
    },
  });
  const outcomes: string[] = [];
  for (let count = 0; count < mostSessionsPerPeer + 3; count++) {
    const opened = await openStream(pool, request);
    outcomes.push(opened.kind === "failed" ? opened.detail : opened.kind);
    if (opened.kind !== "stream") continue;
    const { http2 } = opened.session.facts;
    if (http2.remoteSettings.maxConcurrentStreams !== 0) await once(http2, "remoteSettings");
    opened.stream.destroy();
  }
  assert.deepEqual(
    outcomes.slice(0, mostSessionsPerPeer),
    Array.from({ length: mostSessionsPerPeer }, () => "stream"),
  );
  assert.deepEqual(
    outcomes.slice(mostSessionsPerPeer),
    Array.from({ length: 3 }, () => "the peer allows no stream"),
  );
  assert.equal(accepted.length, mostSessionsPerPeer);
});
