/** A peer that takes a CONNECT and never answers holds no connection for ever, and none whose caller has gone. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { constants } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { parseIp } from "../../../../lib/net/address.ts";
import { answerTimeoutMs, openStream } from "../../../../proxy/session/open-stream.ts";
import { eventually } from "../../../cluster/eventually.ts";
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

const gone = {
  kind: "failed",
  reason: "caller_gone",
  detail: "before the far end had answered",
  claimed: null,
  final: true,
};

test("a request whose caller goes is taken back, and its place is free", async (t) => {
  const clock = manualClock(Date.now());
  const arrived = Promise.withResolvers<ServerHttp2Stream>();
  const { pool, request } = await peer(t, { clock, onStream: arrived.resolve });
  const [caller] = duplexPair();
  const opening = openStream(pool, { ...request, caller });
  const stream = await arrived.promise;
  const closed = new Promise((resolve) => stream.once("close", resolve));
  stream.on("error", () => {});
  caller.destroy();
  assert.deepEqual(await opening, gone);
  await closed;
  assert.equal(stream.rstCode, constants.NGHTTP2_CANCEL);
  const [session] = pool.sessions;
  assert.deepEqual([session?.usable, session?.streams], [true, 0]);
});

test("a caller that goes before there is a session asks for nothing", async (t) => {
  const asked: unknown[] = [];
  const { pool, request } = await peer(t, { clock: manualClock(Date.now()), onStream: (stream) => asked.push(stream) });
  const [caller] = duplexPair();
  const opening = openStream(pool, { ...request, caller });
  caller.destroy();
  assert.deepEqual(await opening, gone);
  // The dial goes on: others may want the session.
  await eventually(() => Promise.resolve(assert.equal(pool.sessions.length, 1)));
  assert.deepEqual([pool.sessions[0]?.streams, asked], [0, []]);
});

test("a caller that goes while nobody answers the dial ends at once what waits for it", async (t) => {
  const clock = manualClock(Date.now());
  const { pool, request } = await peer(t, { clock, onStream: () => {} });
  const silent = createServer((socket) => socket.on("error", () => {}));
  t.after(() => silent.close());
  await once(silent.listen(0, "127.0.0.1"), "listening");
  const { port } = silent.address() as AddressInfo;
  const target = { ...request.target, endpoint: { ip: parseIp("127.0.0.1")!, port } };
  const [caller] = duplexPair();
  const dialled = once(silent, "connection");
  const opening = openStream(pool, { ...request, target, caller });
  const [socket] = (await dialled) as [Socket];
  caller.destroy();
  assert.deepEqual(await opening, gone);
  socket.destroy();
});

test("a caller that stays keeps no listener of the request", async (t) => {
  const onStream = (stream: ServerHttp2Stream): void => stream.respond({ ":status": 200 });
  const { pool, request } = await peer(t, { clock: manualClock(Date.now()), onStream });
  const [caller] = duplexPair();
  const before = caller.listenerCount("close");
  await openStream(pool, { ...request, caller });
  assert.equal(caller.listenerCount("close"), before);
});
