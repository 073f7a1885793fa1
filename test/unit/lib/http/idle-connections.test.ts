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
