/**
 * The caller's side of authentication: a dial is answered by a proxy with a good certificate of the project, but not by
 * the pod that the directory names for that address. The caller sends it nothing and says why (Consul CVE-2021-32574).
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { reaches, refuses } from "../topology/attempts.ts";
import type { Capture, Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import type { WorkloadEntry } from "../topology/directory.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";
import type { Steady } from "../topology/steady.ts";

const canary = "canary-answering-4e77";
const port = 7000;

let mesh: Mesh;
let bridge: Capture;
let inside: Child;
let echo: Child;
let steady: Steady;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "bystander", project: "shop" },
    ],
  });
  bridge = await mesh.cluster.capture();
  echo = (await mesh.pod("server").serve("echo-server", port)).child;
  inside = await mesh.pod("client").app("dialer");
});
after(() => mesh?.close());

/** The caller alone hears that another pod is at the server's address. */
async function claimed(change: Partial<WorkloadEntry>): Promise<void> {
  const workloads = mesh.cluster.pods.map((pod) =>
    pod.name === "server" ? { ...pod.workload(), ...change } : pod.workload(),
  );
  await mesh.publish({ workloads }, [mesh.proxy("client")]);
}

const cases: readonly (readonly [what: string, change: Partial<WorkloadEntry>, reason: string])[] = [
  ["another pod of the same account", { uid: "uid-of-another" }, "wrong_pod"],
  ["a pod of another account", { serviceAccount: "another" }, "identity_mismatch"],
];

describe("a dial that is answered by", { skip: needsRoot }, () => {
  test("the pod that the directory names is served, so what follows can fail", async () => {
    await reaches(inside, { host: mesh.pod("server").ip, port }, canary);
    // The application's own word for it comes another way, and must not count for what follows.
    await echo.event("connection");
    // Its document says what the client's says: only of the client itself is the same true as before.
    steady = await watchSteady(mesh, { from: "bystander", to: "client", text: canary });
  });

  for (const [what, change, reason] of cases)
    for (const family of ["v4", "v6"] as const)
      test(`${what}: ${reason}, ${family}`, async () => {
        await claimed(change);
        const position = echo.position;
        const { facts } = mesh.pod("server");
        const answering = `spiffe://${mesh.cluster.trustDomain}/ns/shop/sa/${facts.serviceAccount}`;
        const { ip, ip6 } = mesh.pod("server");
        const target = { host: family === "v4" ? ip : ip6, port };
        const line = await refuses(inside, target, canary, { by: mesh.proxy("client"), reason });
        assert.deepEqual([line["peer"], line["peerVerified"]], [answering, false], "who answered");
        assert.deepEqual(echo.events("connection", position), [], "the application saw nothing");
      });

  test("and is served again once the directory is right; a bystander was all the while", async () => {
    await claimed({});
    await reaches(inside, { host: mesh.pod("server").ip, port }, canary);
    await steady.end();
    assert.equal((await bridge.stop()).count(canary), 0);
  });
});
