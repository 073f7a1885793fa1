/** Who only holds connections to a page server keeps nobody else out: a probe that is not answered restarts the pod. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { get } from "node:http";
import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import { mostConnections, pageServer, plainPage } from "../../../../lib/http/page-server.ts";

test("a request is answered although all connections are held, and the oldest pays for it", async (t) => {
  const server = pageServer(() => plainPage(200, "live"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const held: Socket[] = [];
  t.after(() => {
    for (const socket of held) socket.destroy();
    server.close();
  });
  for (let count = 0; count < mostConnections; count++) {
    const socket = connect(port, "127.0.0.1").resume();
    socket.on("error", () => {});
    held.push(socket);
    await once(socket, "connect");
  }
  const [response] = (await once(get({ port, host: "127.0.0.1", agent: false }), "response")) as [IncomingMessage];
  response.resume();
  assert.equal(response.statusCode, 200);
  if (!held[0]!.closed) await once(held[0]!, "close");
  assert.deepEqual(
    held.slice(1).filter((socket) => socket.closed),
    [],
  );
});

test("who opens more and more connections pays for them alone", async (t) => {
  const server = pageServer(() => plainPage(200, "live"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const sockets: Socket[] = [];
  const open = async (localAddress: string): Promise<Socket> => {
    const socket = connect({ port, host: "127.0.0.1", localAddress }).resume();
    socket.on("error", () => {});
    sockets.push(socket);
    await once(socket, "connect");
    return socket;
  };
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const kubelet = await open("127.0.0.1");
  for (let count = 0; count < 2 * mostConnections; count++) await open("127.0.0.2");
  kubelet.write("GET /live HTTP/1.1\r\nhost: x\r\n\r\n");
  const [answer] = (await once(kubelet, "data")) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 200 OK/);
});

test("a page that fails is status 500, and no unhandled rejection", async (t) => {
  const server = pageServer(() => Promise.reject(new Error("unforeseen")));
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const [response] = (await once(get({ port, host: "127.0.0.1", agent: false }), "response")) as [IncomingMessage];
  response.resume();
  assert.equal(response.statusCode, 500);
});
