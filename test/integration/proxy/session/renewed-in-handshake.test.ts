/** A certificate that is renewed while a handshake goes on: the session is worth the one that its peer has seen. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { leafOf, lifetimeMs, pair, rawClient } from "./pair.ts";

type Relay = { readonly port: number; readonly isHeld: Promise<void>; readonly release: () => void };

/** In front of `port`: what a client sends once it was answered, which ends its handshake, waits for `release`. */
async function relay(t: TestContext, port: number): Promise<Relay> {
  const held = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    let answered = false;
    upstream.on("data", (bytes) => {
      answered = true;
      client.write(bytes);
    });
    client.on("data", (bytes) => {
      if (!answered) return void upstream.write(bytes);
      held.resolve();
      void released.promise.then(() => upstream.write(bytes));
    });
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const)
      one.on("error", () => {}).on("close", () => other.destroy());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, isHeld: held.promise, release: released.resolve };
}

test("a session ends with the certificate that was shown, not with the one that came meanwhile", async (t) => {
  const both = await pair(t);
  const { clock, server, accepted } = both;
  const shown = server.current().identity;
  const between = await relay(t, both.port);
  const leaf = leafOf({ notAfter: Date.now() + 10 * lifetimeMs });
  const dialled = rawClient(t, between.port, { leaf, knows: false });
  await between.isHeld;
  clock.advance(2_000);
  both.renewBoth();
  between.release();
  const { http2 } = await dialled;
  assert.ok(server.current().identity.notAfter > shown.notAfter, "it was renewed");
  assert.equal(accepted[0]!.end, shown.notAfter);
  // A peer that cannot re-authenticate opens nothing new on it, so it ends where nothing is open.
  if (!http2.destroyed) await once(http2, "close");
});
