/** A server that is bound goes on whatever becomes of single connections. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { Server } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { listen } from "../../../../lib/server/listen.ts";

const anyPort = { host: "127.0.0.1", port: 0 };

function server(t: TestContext): Server {
  const made = createServer((socket) => socket.end());
  t.after(() => made.close());
  return made;
}

test("connections that cannot be accepted, one after the other, end nothing", async (t) => {
  const bound = server(t);
  const at = await listen(bound, anyPort);
  for (let count = 0; count < 3; count++) bound.emit("error", new Error("accept EMFILE"));
  await once(connect(at.port, at.address), "connect");
});

test("a port that somebody else holds is an error", async (t) => {
  const { port } = await listen(server(t), anyPort);
  await assert.rejects(listen(server(t), { ...anyPort, port }), { code: "EADDRINUSE" });
});
