/**
 * A pod that exists before the others' directory names it is never taken for an external one: nothing goes to it or
 * comes from it in clear. Its certificate already counts. Within a second of the entry everything works.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { endpoint, reaches, refuses } from "../topology/attempts.ts";
import type { Capture, Child, Pod } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";

const options = { skip: needsRoot };
const canary = "canary-late-pod-c1d9";
const echo = 7000;
const withinMs = 1_000;

let mesh: Mesh;
let bridge: Capture;
let client: Child;
let newcomer: Child;
let plain: Child;
let stranger: Child;

before(async () => {
  if (needsRoot !== false) return;
  const late = { listed: false } as const;
  mesh = await startMesh({
    projects: { shop: { mode: "project" }, other: {} },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "newcomer", project: "shop", ...late },
      { name: "plain", project: "shop", protected: false, ...late },
      { name: "stranger", project: "other", protected: false, ...late },
    ],
    without: ["newcomer"],
  });
  // Its own directory is newer than that of the others: it has to name the pod for its proxy to start.
  const file = `${mesh.cluster.makeFolder("newer", 0)}/directory.json`;
  mesh.cluster.writeDirectory(mesh.cluster.directory({ workloads: workloads("newcomer") }), file);
  await mesh.startProxy("newcomer", { env: { TENCRYPT_DIRECTORY_FILE: file } });
  bridge = await mesh.cluster.capture();
  [client, newcomer, plain, stranger] = (await Promise.all(
    ["client", "newcomer", "plain", "stranger"].map((name) => mesh.pod(name).app("dialer")),
  )) as [Child, Child, Child, Child];
  await Promise.all(
    ["server", "newcomer", "plain", "stranger"].map((name) => mesh.pod(name).serve("echo-server", echo)),
  );
});
after(() => mesh?.close());

/** Those that the directory has named from the start, and these. */
const workloads = (...names: readonly string[]): ReturnType<Pod["workload"]>[] =>
  ["client", "server", ...names].map((name) => mesh.pod(name).workload());

const publish = (...names: readonly string[]): Promise<void> =>
  mesh.publish({ workloads: workloads(...names) }, [mesh.proxy("client"), mesh.proxy("server")], withinMs);

const targets = (pod: string): readonly { host: string; port: number }[] =>
  mesh.pod(pod).ips.map((host) => ({ host, port: echo }));

describe("before the entry", options, () => {
  test("as a server it is unknown, whether it has a proxy or not, and gets no byte", options, async () => {
    for (const pod of ["newcomer", "plain", "stranger"])
      for (const target of targets(pod))
        await refuses(client, target, canary, { by: mesh.proxy("client"), reason: "destination_unknown" });
  });

  test("as a client in clear it is unknown", options, async () => {
    for (const from of [plain, stranger])
      for (const target of targets("server"))
        await refuses(from, target, "clear", { by: mesh.proxy("server"), reason: "source_unknown" });
  });

  test("as a client with a certificate it is who the certificate says", options, async () => {
    const server = mesh.proxy("server");
    for (const target of targets("server")) {
      const from = server.position;
      await reaches(newcomer, target, canary);
      const line = await server.event("connection_open", ({ destination }) => destination === endpoint(target), {
        from,
      });
      const peer = `spiffe://${mesh.cluster.trustDomain}/ns/shop/sa/newcomer`;
      assert.deepEqual([line["peer"], line["peerWorkload"], line["transport"]], [peer, null, "tunnel"]);
    }
  });
});

describe("within a second of the entry", options, () => {
  before(() => (needsRoot === false ? publish("newcomer", "plain", "stranger") : undefined));

  test("as a server it is reached through its proxy", options, async () => {
    for (const target of targets("newcomer")) await reaches(client, target, canary);
  });

  test("as a client it is known by its name", options, async () => {
    const server = mesh.proxy("server");
    const from = server.position;
    for (const target of targets("server")) await reaches(newcomer, target, canary);
    const line = await server.event("connection_open", undefined, { from });
    assert.equal(line["peerWorkload"], "shop/newcomer");
  });

  test("one of the own project without a proxy is refused for that, in both directions", options, async () => {
    for (const target of targets("plain"))
      await refuses(client, target, canary, { by: mesh.proxy("client"), reason: "peer_not_enrolled" });
    for (const target of targets("server"))
      await refuses(plain, target, "clear", { by: mesh.proxy("server"), reason: "plaintext_refused" });
  });

  test("one of another project talks as before, in clear", options, async () => {
    for (const target of targets("stranger")) await reaches(client, target, "clear");
    for (const target of targets("server")) await reaches(stranger, target, "clear");
  });
});

test("gone from the directory it is unknown again, not external", options, async () => {
  await publish();
  for (const target of targets("newcomer"))
    await refuses(client, target, canary, { by: mesh.proxy("client"), reason: "destination_unknown" });
  for (const target of targets("server"))
    await refuses(stranger, target, "clear", { by: mesh.proxy("server"), reason: "source_unknown" });
});

test("the canary was nowhere on the bridge", options, async () => {
  assert.equal((await bridge.stop()).count(canary), 0);
});
