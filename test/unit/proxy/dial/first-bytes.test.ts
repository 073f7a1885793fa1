/** The look at what an application says first takes nothing from the connection, and leaves nothing at it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { firstBytesAreTls } from "../../../../proxy/dial/first-bytes.ts";
import { manualClock } from "../../../clock/manual-clock.ts";

/** Up to its only cipher suite. */
const startOfHello = Buffer.from(`16030102000100${"01fc0303"}${"00".repeat(32)}00${"00021301"}`, "hex");

/** An application that has dialled, and the socket that the proxy has accepted. */
async function connection(t: TestContext): Promise<{ application: Socket; socket: Socket }> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const application = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  t.after(() => {
    application.destroy();
    socket.destroy();
    server.close();
  });
  return { application, socket };
}

const listeners = (socket: Socket): readonly unknown[] => socket.eventNames().flatMap((name) => socket.listeners(name));

for (const [name, said, expected] of [
  ["TLS", startOfHello, true],
  ["no TLS", Buffer.from("GET / HTTP/1.1\r\n"), false],
] as const)
  test(`${name}: the bytes are still there, and no listener or timer is`, async (t) => {
    const { application, socket } = await connection(t);
    const clock = manualClock();
    const before = listeners(socket);
    const answer = firstBytesAreTls(socket, clock);
    application.write(said);
    assert.equal(await answer, expected);
    assert.deepEqual(listeners(socket), before);
    assert.equal(clock.pending, 0);
    assert.deepEqual(socket.read(), said);
  });

test("nothing said in time is no TLS", async (t) => {
  const { socket } = await connection(t);
  const clock = manualClock();
  const answer = firstBytesAreTls(socket, clock);
  clock.advance(5_000);
  assert.equal(await answer, false);
});

test("a caller that has ended already says no TLS, at once", async (t) => {
  const { application, socket } = await connection(t);
  const clock = manualClock();
  const ended = once(socket, "end");
  socket.read(0);
  application.end();
  await ended;
  assert.equal(await firstBytesAreTls(socket, clock), false);
  assert.equal(clock.pending, 0);
});
