/** `tencrypt check --pre --probe` takes its namespace away whatever happens, and makes none that nobody agreed to. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { startFakeApi } from "./fake-api.ts";

const main = join(import.meta.dirname, "../../../cli/main.ts");
const namespaces = /^\/api\/v1\/namespaces(?:\/(tencrypt-check-[a-z0-9]+))?$/;
const node = {
  metadata: { name: "n1", uid: "1", resourceVersion: "1" },
  status: { conditions: [{ type: "Ready", status: "True" }] },
};

/** A cluster on which no pod ever starts; `namespace` is where one was made, `broken` what is answered with an error. */
async function startCluster(t: TestContext, broken?: RegExp) {
  const calls: string[] = [];
  let isThere = false;
  const { kubeconfig } = await startFakeApi(t, (path, method) => {
    const [, name] = namespaces.exec(path) ?? [];
    if (method !== "GET" && (namespaces.test(path) || broken?.test(path) === true)) calls.push(method);
    if (method === "DELETE" && name !== undefined && isThere) {
      isThere = false;
      return {};
    }
    if (name !== undefined) return undefined;
    if (broken?.test(path) === true) return undefined;
    if (method === "POST" && namespaces.test(path)) isThere = true;
    if (path.endsWith("/selfsubjectaccessreviews")) return { status: { allowed: true } };
    return path.startsWith("/api/v1/nodes")
      ? { items: [node], metadata: {} }
      : { gitVersion: "v1.36.3", resources: [], items: [], metadata: {}, spec: { clusterIP: "10.96.0.7" } };
  });
  const run = (...flags: readonly string[]) => {
    const args = [main, "check", "--pre", "--probe", "--image", "x/init:1", "--kubeconfig", kubeconfig, ...flags];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    t.after(() => child.kill("SIGKILL"));
    let stderr = "";
    child.stdout.resume();
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    return { child, ended: once(child, "close"), stderr: () => stderr };
  };
  return { run, calls, isThere: () => isThere };
}

test("after Ctrl-C", { timeout: 60_000 }, async (t) => {
  const cluster = await startCluster(t);
  const { child, ended, stderr } = cluster.run("--yes");
  while (!stderr().includes("trying 1 nodes")) await once(child.stderr, "data");
  assert.equal(cluster.isThere(), true);
  child.kill("SIGINT");
  assert.deepEqual(await ended, [1, null]);
  assert.match(stderr(), /error: stopped: nothing was judged\n/);
  assert.equal(cluster.isThere(), false);
});

test("after an error half-way", { timeout: 60_000 }, async (t) => {
  const cluster = await startCluster(t, /\/services$/);
  const { ended, stderr } = cluster.run("--yes");
  assert.deepEqual(await ended, [1, null]);
  assert.match(stderr(), /error: the API server refused: POST .*\/services: 404/);
  assert.deepEqual(cluster.calls, ["POST", "POST", "DELETE", "DELETE"]);
  assert.equal(cluster.isThere(), false);
});

test("without a yes nothing is made", { timeout: 60_000 }, async (t) => {
  const cluster = await startCluster(t);
  const { ended, stderr } = cluster.run();
  assert.deepEqual(await ended, [1, null]);
  assert.match(stderr(), /a pod of x\/init:1 with NET_ADMIN on each node[^]*error: nothing was tried\n/);
  assert.deepEqual(cluster.calls, []);
});
