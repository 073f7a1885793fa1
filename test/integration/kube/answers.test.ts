/** What an API server, or something in its place, answers is an error of that call and nothing else. */
// What answers in place of an API server: a proxy or a load balancer in between, with pages of its own.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../lib/clock/clock.ts";
import { isStatus, KubeClient } from "../../../lib/kube/client.ts";
import { Keys } from "../../cluster/keys.ts";

test("a page that is not JSON is an error of the call, whatever its status", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-answers-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { certificateFile, keyFile } = new Keys(folder).issue("server", { user: "x", usages: ["serverAuth"] });
  const tls = { cert: readFileSync(certificateFile), key: readFileSync(keyFile) };
  const server = createServer(tls, (request, response) => {
    response.writeHead(Number(request.url?.slice(1))).end("<html>");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const credentials = { headers: {}, tls: { rejectUnauthorized: false } };
  const access = { server: new URL(`https://127.0.0.1:${port}`), namespace: "x", credentials: async () => credentials };
  const client = new KubeClient(access, systemClock);
  t.after(() => {
    client.close();
    server.close();
  });
  await assert.rejects(
    client.get("/200"),
    (error: unknown) => isStatus(error, 0) && /GET \/200: the answer is not JSON/.test(error.message),
  );
  assert.equal(await client.find("/404"), null);
  await assert.rejects(client.get("/503"), (error: unknown) => isStatus(error, 503) && /<html>/.test(error.message));
});
