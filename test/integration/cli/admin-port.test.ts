/** A port-forward through an API server whose kubelets are away: it accepts, and nothing comes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { askStatus, forwarder } from "../../../cli/admin-port.ts";
import { Keys, kubeconfigText } from "../../cluster/keys.ts";

test("a pod whose node does not answer is given up, and its connection closed", { timeout: 20_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-silent-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const keys = new Keys(folder);
  const { certificateFile, keyFile } = keys.issue("server", {
    user: "server",
    usages: ["serverAuth"],
    addresses: ["127.0.0.1"],
  });
  const server = createServer({ cert: readFileSync(certificateFile), key: readFileSync(keyFile) });
  const upgraded: Promise<unknown[]> = once(server, "upgrade");
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const kubeconfig = keys.write("kubeconfig", kubeconfigText(url, keys.authority.certificateFile, { token: "x" }));
  const answer = await askStatus(forwarder({ kubeconfig }, 200), "shop", "cart-1");
  assert.deepEqual(answer, { kind: "no-answer", why: "the port-forward was not opened in time" });
  const [, socket] = (await upgraded) as [unknown, Socket];
  if (!socket.destroyed) await once(socket, "close");
});
