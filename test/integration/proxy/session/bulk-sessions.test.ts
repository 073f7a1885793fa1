/** A session that carries a bulk transfer is left to it, up to a bound; what a peer that goes away did not process is asked again. */
import assert from "node:assert/strict";
import { constants } from "node:http2";
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { systemClock } from "../../../../lib/clock/clock.ts";
import { openStream } from "../../../../proxy/session/open-stream.ts";
import type { OpenedStream } from "../../../../proxy/session/open-stream.ts";
import type { ClientSession } from "../../../../proxy/session/session.ts";
import { peer } from "./peer.ts";

/** As many as the pool opens for bulk transfers to one peer. */
const most = 8;

const sessionOf = (opened: OpenedStream): ClientSession =>
  opened.kind === "stream" ? opened.session : assert.fail(JSON.stringify(opened));

async function asking(t: TestContext): Promise<() => Promise<ClientSession>> {
  const onStream = (stream: ServerHttp2Stream): void => stream.respond({ ":status": 200 });
  const { pool, request } = await peer(t, { clock: systemClock, onStream });
  return async () => sessionOf(await openStream(pool, request));
}

test("the next stream gets a session without a bulk transfer, and the first one again when that has ended", async (t) => {
  const ask = await asking(t);
  const bulk = await ask();
  assert.equal(await ask(), bulk, "nothing is bulk yet");
  bulk.bulkBegun();
  const other = await ask();
  assert.notEqual(other, bulk);
  assert.equal(await ask(), other);
  bulk.bulkEnded();
  assert.equal(await ask(), bulk);
});

test("beyond eight sessions with bulk transfers streams share the one with fewest", async (t) => {
  const ask = await asking(t);
  const sessions: ClientSession[] = [];
  for (let count = 0; count < most; count++) {
    const session = await ask();
    session.bulkBegun();
    sessions.push(session);
  }
  assert.equal(new Set(sessions).size, most);
  const shared = [await ask(), await ask(), await ask()];
  assert.equal(new Set(shared).size, shared.length, "each time another one: it has a stream more then");
  for (const session of shared) assert.ok(sessions.includes(session));
});

test("a stream that a GOAWAY says was not processed is asked again on another session", async (t) => {
  const met: ServerHttp2Session[] = [];
  const { pool, request, accepted } = await peer(t, {
    clock: systemClock,
    onStream: (stream) => {
      const session = stream.session as ServerHttp2Session;
      met.push(session);
      if (met.length > 1) return stream.respond({ ":status": 200 });
      session.goaway(constants.NGHTTP2_NO_ERROR, 0);
      session.destroy();
    },
  });
  const session = sessionOf(await openStream(pool, request));
  assert.deepEqual([accepted.length, new Set(met).size], [2, 2]);
  assert.deepEqual(pool.sessions, [session]);
});
