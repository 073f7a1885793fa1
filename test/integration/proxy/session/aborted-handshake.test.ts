/** Who breaks off a handshake is named in the refusal, as everybody else whose handshake fails. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import { systemClock } from "../../../../lib/clock/clock.ts";
import { events } from "../../../../proxy/observe/events.ts";
import type { SessionRefusalEvent } from "../../../../proxy/observe/events.ts";
import { TunnelListener } from "../../../../proxy/session/accept.ts";
import { ownCredentials } from "./peer.ts";

/** The beginning of a ClientHello. */
const beginning = Buffer.from([22, 3, 1, 0, 200, 1]);
const ways: Readonly<Record<string, (socket: Socket) => void>> = {
  "is closed at once": (socket) => socket.end(),
  "is reset at once": (socket) => socket.resetAndDestroy(),
  "is reset in its hello": (socket) => socket.write(beginning, () => socket.resetAndDestroy()),
  "says something else": (socket) => socket.write("GET / HTTP/1.1\r\n\r\n"),
};

for (const [how, act] of Object.entries(ways))
  test(`a connection that ${how}`, { timeout: 10_000 }, async (t) => {
    const credentials = ownCredentials();
    const { server } = new TunnelListener(credentials, {
      credentials: () => credentials,
      expected: () => ({ kind: "projects", projects: new Set(["shop"]) }),
      maxLeafLifetimeMs: 86_400_000,
      maxHalfOpen: 16,
      clock: systemClock,
      onSession: () => {},
      onClose: () => {},
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    t.after(() => server.close());
    const told = new Promise<SessionRefusalEvent>((resolve) => {
      const listen = (event: unknown): void => resolve(event as SessionRefusalEvent);
      events.sessionRefused.subscribe(listen);
      t.after(() => events.sessionRefused.unsubscribe(listen));
    });
    const connected = once(server, "connection");
    const { port } = server.address() as AddressInfo;
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    t.after(() => socket.destroy());
    await connected;
    const source = `127.0.0.1:${socket.localPort}`;
    act(socket);
    const refusal = await told;
    assert.deepEqual(
      [refusal.reason, refusal.source, refusal.destination],
      ["handshake_failed", source, `127.0.0.1:${port}`],
    );
  });
