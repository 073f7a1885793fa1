/** In place of an API server, for answers that a real one gives at bad times only. */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Keys, kubeconfigText } from "../../cluster/keys.ts";

export type FakeApi = { readonly kubeconfig: string; readonly server: Server };

/** `answer` gives the object at a path; what it does not know is not found. */
export async function startFakeApi(
  t: Pick<TestContext, "after">,
  answer: (path: string, method: string) => object | undefined = () => undefined,
): Promise<FakeApi> {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-fake-api-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const keys = new Keys(folder);
  const { certificateFile, keyFile } = keys.issue("server", {
    user: "server",
    usages: ["serverAuth"],
    addresses: ["127.0.0.1"],
    names: ["api.example.invalid"],
  });
  const tls = { cert: readFileSync(certificateFile), key: readFileSync(keyFile) };
  const server = createServer(tls, ({ url = "", method = "GET" }, response) => {
    const found = answer(url, method);
    response.writeHead(found === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(found ?? { reason: "NotFound", message: "not found" }));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const kubeconfig = keys.write("kubeconfig", kubeconfigText(url, keys.authority.certificateFile, { token: "x" }));
  return { kubeconfig, server };
}
