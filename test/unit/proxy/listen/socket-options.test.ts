/** What the addon promises of sockets: a reset where one has to be, a clean end where not. */
// SO_LINGER as the far end sees it (RST or FIN), inheritance, the round trip, closed sockets, and what an unredirected socket gives.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import {
  originalDestination,
  resetOnClose,
  resetsOnClose,
  roundTrip,
  selfTest,
} from "../../../../proxy/listen/socket-options.ts";

type Pair = { server: net.Server; client: net.Socket; accepted: net.Socket };

async function openPair(t: TestContext, host: string, prepare: (server: net.Server) => void): Promise<Pair> {
  const server = net.createServer();
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  prepare(server);
  const { port } = server.address() as net.AddressInfo;
  const client = net.connect(port, host === "::" ? "127.0.0.1" : host);
  const [accepted] = (await once(server, "connection")) as [net.Socket];
  t.after(() => [client, accepted].forEach((socket) => socket.destroy()));
  return { server, client, accepted };
}

/** `end` for FIN, or the error's code. */
function howItEnds(socket: net.Socket): Promise<string> {
  return new Promise((resolve) => {
    socket
      .once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "?"))
      .once("end", () => resolve("end"));
    socket.resume();
  });
}

const nothing = (): void => {};

test("the self-test passes on this Node", () => selfTest());

test("destroying a socket that resets on close is ECONNRESET at the far end", async (t) => {
  const { client, accepted } = await openPair(t, "127.0.0.1", nothing);
  const end = howItEnds(client);
  resetOnClose(accepted, true);
  assert.equal(resetsOnClose(accepted), true);
  accepted.destroy();
  assert.equal(await end, "ECONNRESET");
});

test("a cleared reset gives a clean end", async (t) => {
  const { client, accepted } = await openPair(t, "127.0.0.1", nothing);
  const end = howItEnds(client);
  resetOnClose(accepted, true);
  resetOnClose(accepted, false);
  accepted.destroy();
  assert.equal(await end, "end");
});

test("accepted sockets inherit the setting of their server", async (t) => {
  const { accepted, client } = await openPair(t, "127.0.0.1", (server) => resetOnClose(server, true));
  assert.equal(resetsOnClose(accepted), true);
  assert.equal(resetsOnClose(client), false);
});

for (const host of ["127.0.0.1", "::1", "::"]) {
  test(`an unredirected connection to a listener on ${host} has no other original destination`, async (t) => {
    const { accepted } = await openPair(t, host, nothing);
    const original = originalDestination(accepted);
    const own = { ip: host === "::1" ? "::1" : "127.0.0.1", port: accepted.localPort };
    if (original.kind === "found") assert.deepEqual(original.endpoint, own);
    else assert.ok(["ENOENT", "ENOPROTOOPT"].includes(original.errno), original.errno);
  });
}

test("the round trip of a connection on one machine is less than a second, and more than nothing", async (t) => {
  const { client, accepted } = await openPair(t, "127.0.0.1", nothing);
  for (const socket of [client, accepted]) {
    const us = roundTrip(socket);
    assert.ok(us !== null && us > 0 && us < 1_000_000, `${us}`);
  }
  assert.equal(roundTrip(new net.Socket()), null);
});

test("a closed socket is left alone", async (t) => {
  const { accepted, server } = await openPair(t, "127.0.0.1", nothing);
  accepted.destroy();
  await once(accepted, "close");
  resetOnClose(accepted, true);
  assert.equal(resetsOnClose(accepted), false);
  assert.equal(roundTrip(accepted), null);
  assert.deepEqual(originalDestination(accepted), { kind: "none", errno: "EBADF" });
  resetOnClose(new net.Socket(), true);
  assert.equal(resetsOnClose(server), false);
});
