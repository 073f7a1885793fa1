/** An accept that fails for want of descriptors is an event of the server, not the end of the process. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { listen } from "../../../../proxy/listen/listener.ts";

test("a bound server outlives an error of accept", async (t) => {
  const server = createServer();
  t.after(() => server.close());
  assert.equal((await listen(server, { host: "127.0.0.1", port: 0 })).kind, "bound");
  assert.equal(server.emit("error", Object.assign(new Error("accept EMFILE"), { code: "EMFILE" })), true);
  assert.equal(server.listening, true);
});
