/**
 * Without its CA a pod waits and says so: before the first certificate the kernel refuses in its place. Once the CA
 * comes, everything works without a restart. A CA with another root is no CA. Pods that have a certificate do not notice.
 */
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { nobodyListens, reaches } from "../topology/attempts.ts";
import type { Capture, Child, Pod } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";
import type { Steady } from "../topology/steady.ts";

const options = { skip: needsRoot };
const canary = "canary-ca-down-93e0";
const echo = 7000;

let mesh: Mesh;
let client: Pod;
let server: Pod;
let bridge: Capture;
let inside: Child;
let outside: Child;
/** Absent at first: the kubelet mounts it late. */
let lateRoot: string;
let steady: Steady;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "project" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "bystander", project: "shop" },
      { name: "other", project: "shop" },
      { name: "outsider", project: "default", protected: false },
    ],
    without: ["client", "server"],
  });
  bridge = await mesh.cluster.capture();
  steady = await watchSteady(mesh, { from: "bystander", to: "other", text: canary });
  await mesh.ca.child.stop();
  lateRoot = join(mesh.cluster.makeFolder("late", 0), "root.pem");
  [client, server] = [mesh.pod("client"), mesh.pod("server")];
  inside = await client.app("dialer");
  outside = await mesh.pod("outsider").app("dialer");
  await Promise.all([server, mesh.pod("outsider")].map((pod) => pod.serve("echo-server", echo)));
});
after(() => mesh?.close());

/** From inside towards everybody, and from outside towards both pods. */
async function kernelRefuses(): Promise<void> {
  for (const target of [server, mesh.pod("outsider")])
    for (const host of target.ips) await nobodyListens(inside, { host, port: echo }, canary);
  for (const host of [...client.ips, ...server.ips])
    for (const port of [echo, 15_006, 15_008]) await nobodyListens(outside, { host, port }, canary);
}

async function podsTalk(): Promise<void> {
  for (const host of server.ips) await reaches(inside, { host, port: echo }, canary);
}

const waits = (proxy: Child, error: RegExp): Promise<unknown> =>
  proxy.event("certificate_renewal_failed", ({ error: text }) => error.test(String(text)));

test("down at the start: proxies wait and say for what, the kernel refuses; then the CA comes", options, async () => {
  const proxies = [
    await mesh.startProxy("client", { env: { TENCRYPT_CA_ROOT_FILE: lateRoot }, wait: false }),
    await mesh.startProxy("server", { wait: false }),
  ] as const;
  await waits(proxies[0], /^waiting for the root certificate: ENOENT at .*late\/root\.pem$/);
  await waits(proxies[1], /^14 UNAVAILABLE/);
  await kernelRefuses();
  for (const proxy of proxies) assert.deepEqual([proxy.events("ready"), proxy.end], [[], null]);

  mesh.ca = await mesh.ca.restart();
  copyFileSync(mesh.ca.rootFile, lateRoot);
  mesh.cluster.writeRights(lateRoot, 0o444);
  await Promise.all(proxies.map((proxy) => proxy.event("ready")));
  await podsTalk();
});

test("it goes away later: what has a certificate goes on, what has none waits", options, async () => {
  await mesh.ca.child.stop("SIGKILL");
  await mesh.proxy("server").event("trust_bundle_unavailable");
  await podsTalk();

  await mesh.proxy("client").stop("SIGKILL");
  const again = await mesh.startProxy("client", { wait: false });
  await waits(again, /^14 UNAVAILABLE/);
  for (const host of server.ips) await nobodyListens(inside, { host, port: echo }, canary);
});

test("a CA with a root of its own at the same address is not believed; the right one is", options, async () => {
  const store = mesh.cluster.makeFolder("other-store", uids.ca);
  const impostor = await mesh.ca.restart({ env: { TENCRYPT_CA_STORE: store } });
  const proxy = mesh.proxy("client");
  const from = proxy.position;
  await proxy.event("certificate_renewal_failed", ({ error }) => /certificate/.test(String(error)), { from });
  assert.deepEqual(
    [impostor.child.events("certificate_issued"), impostor.child.events("certificate_refused")],
    [[], []],
  );
  for (const host of server.ips) await nobodyListens(inside, { host, port: echo }, canary);
  await impostor.child.stop();

  mesh.ca = await mesh.ca.restart();
  await proxy.event("ready");
  await podsTalk();
});

test("pods that had their certificates talked all the while, and hold nothing more for it", options, async () => {
  await steady.end();
});

test("the canary was nowhere on the bridge", options, async () => {
  assert.equal((await bridge.stop()).count(canary), 0);
});
