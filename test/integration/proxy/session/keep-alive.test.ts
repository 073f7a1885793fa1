/** The kernel probes every idle connection, so that a far end that vanished without a word is noticed. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import { systemClock } from "../../../../lib/clock/clock.ts";
import { parseIp } from "../../../../lib/net/address.ts";
import { dialClear } from "../../../../proxy/dial/clear.ts";
import { captureServer, listen } from "../../../../proxy/listen/listener.ts";
import { TunnelListener } from "../../../../proxy/session/accept.ts";
import { openStream } from "../../../../proxy/session/open-stream.ts";
import { ownCredentials, peer } from "./peer.ts";

/** Whether a keep-alive timer runs on the socket with these ports (timer 2 of /proc/net/tcp, see proc_net_tcp.rst). */
function isProbed(local: number, remote: number): boolean {
  const hex = (port: number): string => `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = readFileSync("/proc/net/tcp", "utf8").split("\n");
  const line = lines
    .map((text) => text.trim().split(/\s+/))
    .find(([, own, far]) => own?.endsWith(hex(local)) === true && far?.endsWith(hex(remote)) === true);
  assert.ok(line !== undefined, "no such socket");
  return line[5]!.startsWith("02:");
}

const host = "127.0.0.1";

test("a captured connection, and one dialled in clear", async (t) => {
  const accepted = Promise.withResolvers<Socket>();
  const server = captureServer(accepted.resolve);
  const bound = await listen(server, { host, port: 0 });
  assert.ok(bound.kind === "bound");
  const dialled = await dialClear([{ ip: parseIp(host)!, port: bound.port }], null, systemClock);
  assert.ok(dialled.kind === "far");
  const socket = await accepted.promise;
  t.after(() => {
    dialled.duplex.destroy();
    socket.destroy();
    server.close();
  });
  assert.equal(isProbed(bound.port, socket.remotePort!), true);
  assert.equal(isProbed(socket.remotePort!, bound.port), true);
});

test("a session that we dialled", async (t) => {
  const { pool, request } = await peer(t, { clock: systemClock, onStream: (stream) => stream.respond() });
  assert.equal((await openStream(pool, request)).kind, "stream");
  const { localPort, remotePort } = pool.sessions[0]!.facts.http2.socket;
  assert.equal(isProbed(localPort!, remotePort!), true);
});

test("a session that we accepted, from the handshake on", async (t) => {
  const credentials = ownCredentials();
  const listener = new TunnelListener(credentials, {
    maxHalfOpen: 256,
    credentials: () => credentials,
    expected: () => ({ kind: "projects", projects: new Set(["shop"]) }),
    maxLeafLifetimeMs: 86_400_000,
    clock: systemClock,
    onSession: () => {},
    onClose: () => {},
  });
  await once(listener.server.listen(0, host), "listening");
  const { port } = listener.server.address() as AddressInfo;
  const accepted = once(listener.server, "connection") as Promise<[Socket]>;
  const client = connect(port, host);
  t.after(() => {
    client.destroy();
    listener.server.close();
  });
  const [socket] = await accepted;
  assert.equal(isProbed(port, socket.remotePort!), true);
});
