/**
 * The application's probes and lifecycle handlers on 15021 are the kubelet's: performed for an address that no pod holds, for
 * no pod, in the strictest mode and whatever they look like.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Pod } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";

const port = 8080;
const [liveness, readiness, preStop] = ["/probe/app/liveness", "/probe/app/readiness", "/hook/app/preStop"] as const;
const declared = {
  [liveness]: { httpGet: { port, path: "/healthy" } },
  // Of a form that Kubernetes takes and Node does not.
  [readiness]: {
    httpGet: { port, path: "/a path/\u00fc", httpHeaders: [{ name: "X-Name", value: "Ji\u0159\u00ed" }] },
  },
  [preStop]: { httpGet: { port, path: "/stop" } },
};

let mesh: Mesh;
let server: Pod;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: [
      { name: "server", project: "shop" },
      { name: "stranger", project: "default", protected: false },
      { name: "bare", project: "shop", protected: false },
      // As a node does, it has an address in the range of the pods that no pod holds.
      { name: "node", project: "kube-system", protected: false, listed: false },
    ],
    without: ["server"],
  });
  server = mesh.pod("server");
  await server.serve("http-server", port);
  await mesh.startProxy("server", { env: { TENCRYPT_PROBES: JSON.stringify(declared) } });
});
after(() => mesh?.close());

async function ask(from: string, host: string, path: string): Promise<string> {
  const url = `http://${host.includes(":") ? `[${host}]` : host}:15021${path}`;
  return (await mesh.pod(from).must("curl", ["-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", url])).trim();
}

describe("what the application declared", { skip: needsRoot }, () => {
  for (const path of [liveness, readiness, preStop]) {
    test(`${path} is performed for a kubelet`, async () => {
      for (const host of server.ips) assert.equal(await ask("node", host, path), "200");
    });

    for (const from of ["stranger", "bare"])
      test(`${path} is not performed for a pod: ${from}`, async () => {
        for (const host of server.ips) assert.equal(await ask(from, host, path), "403");
      });
  }

  test("anybody may know that the proxy is ready, and it has not ended", async () => {
    for (const from of ["node", "stranger"]) assert.equal(await ask(from, server.ip, "/ready"), "200");
    assert.equal(mesh.proxy("server").end, null);
  });
});
