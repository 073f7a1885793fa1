/** A peer that ends its half before it has our answer: the application is told, and may still answer. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { duplexPair } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { Relay } from "../../../../proxy/relay/relay.ts";
import type { RelayOutcome } from "../../../../proxy/relay/relay.ts";

for (const [what, said] of [
  ["without a byte", ""],
  ["after some", "a question"],
] as const)
  test(`ended ${what}, while the application was dialled`, async (t) => {
    const far = createServer();
    await once(far.listen(0, "127.0.0.1"), "listening");
    const session = connect(`http://127.0.0.1:${(far.address() as AddressInfo).port}`);
    t.after(() => {
      session.destroy();
      far.close();
    });
    const arriving = once(far, "stream");
    const request = session.request({ ":method": "POST", ":path": "/" }, { endStream: false });
    const [stream] = (await arriving) as [ServerHttp2Stream];
    request.end(said);
    // A PING is answered behind what came before it: the end is there.
    await new Promise((resolve) => session.ping(resolve));
    const [server, application] = duplexPair();
    const done = new Promise<RelayOutcome>((resolve) => {
      new Relay(
        { client: stream, server },
        { disarm: () => {}, waits: () => {}, bulk: () => {}, done: resolve },
      ).start();
    });
    stream.respond({ ":status": 200 });
    const heard: Buffer[] = [];
    application.on("data", (chunk: Buffer) => heard.push(chunk));
    application.on("end", () => application.end("the answer"));
    assert.equal(await text(request), "the answer");
    assert.equal(Buffer.concat(heard).toString(), said);
    assert.deepEqual(await done, { bytesSent: said.length, bytesReceived: 10, closedBy: "client", reset: false });
  });
