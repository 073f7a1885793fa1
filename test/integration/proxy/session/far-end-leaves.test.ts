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
import { peer } from "./peer.ts";

/** An application's socket whose connection is relayed to a stream that the peer ends with `body` and then takes back. */
async function relayed(t: TestContext, body: Buffer): Promise<{ app: Socket; done: Promise<RelayOutcome> }> {
  const { pool, request } = await peer(t, {
    clock: systemClock,
    onStream: (stream) => {
      stream.respond({ ":status": 200 });
      stream.end(body);
      stream.close(constants.NGHTTP2_NO_ERROR);
    },
  });
  const done = Promise.withResolvers<RelayOutcome>();
  const capture = captureServer((socket) => {
    void openStream(pool, request).then((far) => {
      assert.ok(far.kind === "stream");
      const disarm = (side: Socket): void => resetOnClose(side, false);
      new Relay({ client: socket, server: far.stream, disarm, bulk: () => {}, done: done.resolve }).start();
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

test(
  "every byte and the end arrive, although the relay is over before they are read",
  { timeout: 10_000 },
  async (t) => {
    const body = Buffer.alloc(200_000, "x");
    const { app, done } = await relayed(t, body);
    const outcome = await done;
    assert.deepEqual([outcome.bytesReceived, outcome.closedBy, outcome.reset], [body.length, "server", true]);
    const chunks: Buffer[] = [];
    app.on("data", (chunk: Buffer) => chunks.push(chunk));
    await once(app, "end");
    assert.equal(Buffer.concat(chunks).equals(body), true);
  },
);

test("what the application still sends is answered with a reset", { timeout: 10_000 }, async (t) => {
  const { app, done } = await relayed(t, Buffer.from("bye"));
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
