/**
 * A far end that completes its half and takes back the other with RST_STREAM NO_ERROR (RFC 9113, 8.1) is seen by the
 * application as a process that closed its socket: all bytes, their end, and RST for what it still sends.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { constants } from "node:http2";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { systemClock } from "../../../../lib/clock/clock.ts";
import { captureServer, listen } from "../../../../proxy/listen/listener.ts";
import { resetOnClose } from "../../../../proxy/listen/socket-options.ts";
import { Relay } from "../../../../proxy/relay/relay.ts";
import type { RelayOutcome } from "../../../../proxy/relay/relay.ts";
import { openStream } from "../../../../proxy/session/open-stream.ts";
import { endHeaders, endStream, frame, types } from "../../../topology/http2-frames.ts";
import type { Dialling } from "./pair.ts";
import { peer } from "./peer.ts";
import type { Peer } from "./peer.ts";
import { rawPeer } from "./raw-peer.ts";

/** An application's socket whose connection is relayed to a stream of that peer. */
async function relayed(
  t: TestContext,
  { pool, request }: Dialling,
): Promise<{ app: Socket; done: Promise<RelayOutcome> }> {
  const done = Promise.withResolvers<RelayOutcome>();
  const capture = captureServer((socket) => {
    void openStream(pool, request).then((far) => {
      assert.ok(far.kind === "stream");
      const disarm = (side: Socket): void => resetOnClose(side, false);
      new Relay(
        { client: socket, server: far.stream },
        { disarm, waits: () => {}, bulk: () => {}, done: done.resolve },
      ).start();
    });
  });
  const bound = await listen(capture, { host: "127.0.0.1", port: 0 });
  assert.ok(bound.kind === "bound");
  const app = connect({ host: "127.0.0.1", port: bound.port, allowHalfOpen: true });
  t.after(() => {
    app.destroy();
    capture.close();
  });
  return { app, done: done.promise };
}

/** Ends its half with `body` and takes back the other. */
const leaving = (t: TestContext, body: Buffer): Promise<Peer> =>
  peer(t, {
    clock: systemClock,
    onStream: (stream) => {
      stream.respond({ ":status": 200 });
      stream.end(body);
      stream.close(constants.NGHTTP2_NO_ERROR);
    },
  });

type Truncation = {
  /** Resets once the client has ended its half, not at once. */
  readonly afterHalfClose: boolean;
  /** Of the frame with the bytes: END_STREAM or none. */
  readonly flags: number;
};
const none = 0x00;

/** Answers 200 and some bytes, and resets with NO_ERROR what it has not ended: Node's own server would end it first. */
const truncating = (t: TestContext, { afterHalfClose, flags }: Truncation): Promise<Dialling> =>
  rawPeer(t, (socket) => {
    const [lastType, lastFlags] = afterHalfClose ? [types.data, endStream] : [types.headers, endHeaders];
    socket.write(frame(types.settings, 0, 0));
    socket.on("data", (chunk: Buffer) => {
      const has = (type: number, flag: number): boolean => chunk.includes(Buffer.from([type, flag, 0, 0, 0, 1]));
      // The one stream of a client is 1; its HEADERS come after the preface and what belongs to the session.
      if (has(types.headers, endHeaders)) socket.write(frame(types.headers, endHeaders, 1, Buffer.from([0x88])));
      if (!has(lastType, lastFlags)) return;
      socket.write(frame(types.data, flags, 1, Buffer.alloc(1_000, "x")));
      socket.write(frame(types.reset, 0, 1, Buffer.alloc(4)));
    });
  });

for (const afterHalfClose of [false, true]) {
  const when = afterHalfClose ? "after the application has ended its own" : "while the application's is open";
  test(`a reset with NO_ERROR of a half that was not ended is no end, ${when}`, { timeout: 10_000 }, async (t) => {
    const { app, done } = await relayed(t, await truncating(t, { afterHalfClose, flags: none }));
    app.resume();
    if (afterHalfClose) app.end();
    let ended = false;
    app.on("end", () => (ended = true));
    // `once` rejects with what the socket died of.
    await assert.rejects(once(app, "close"), { code: "ECONNRESET" });
    assert.equal(ended, false, "truncation looks like completion");
    const { reset, closedBy } = await done;
    assert.deepEqual([reset, closedBy], [true, "server"]);
  });
}

test("a reset with NO_ERROR behind both ends changes nothing", { timeout: 10_000 }, async (t) => {
  const { app, done } = await relayed(t, await truncating(t, { afterHalfClose: true, flags: endStream }));
  app.end();
  const chunks: Buffer[] = [];
  app.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(app, "end");
  assert.equal(Buffer.concat(chunks).length, 1_000);
  const { reset, bytesReceived } = await done;
  assert.deepEqual([reset, bytesReceived], [false, 1_000]);
});

test(
  "every byte and the end arrive, although the relay is over before they are read",
  { timeout: 10_000 },
  async (t) => {
    const body = Buffer.alloc(200_000, "x");
    const { app, done } = await relayed(t, await leaving(t, body));
    const outcome = await done;
    assert.deepEqual([outcome.bytesReceived, outcome.closedBy, outcome.reset], [body.length, "server", true]);
    const chunks: Buffer[] = [];
    app.on("data", (chunk: Buffer) => chunks.push(chunk));
    await once(app, "end");
    assert.equal(Buffer.concat(chunks).equals(body), true);
  },
);

test("what the application still sends is answered with a reset", { timeout: 10_000 }, async (t) => {
  const { app, done } = await relayed(t, await leaving(t, Buffer.from("bye")));
  await done;
  app.resume();
  await once(app, "end");
  const failed = once(app, "error") as Promise<[NodeJS.ErrnoException]>;
  // The first write may be taken before the reset arrives.
  const writing = setInterval(() => app.write("too late"), 5);
  t.after(() => clearInterval(writing));
  const [error] = await failed;
  assert.match(error.code ?? "none", /^(ECONNRESET|EPIPE)$/);
});
