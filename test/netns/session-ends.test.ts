/**
 * The ends of sessions: a project's CA that leaves the bundle cuts them within a second, a certificate that cannot be
 * renewed cuts them at its end and nothing flows afterwards, and a proxy that is told to stop lets what is open finish.
 */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { dial, reaches, refuses } from "../topology/attempts.ts";
import type { Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";

const canary = "canary-session-ends-77e0";
const port = 7000;

type World = { readonly mesh: Mesh; readonly client: Child; readonly host: string; readonly web: Child };

async function world(leafTtl: string): Promise<World> {
  const mesh = await startMesh({
    projects: { shop: { mode: "project" } },
    pods: [
      ...["client", "server"].map((name) => ({ name, project: "shop" })),
      { name: "web", project: "other", protected: false },
    ],
    leafTtl,
  });
  await Promise.all(["server", "web"].map((name) => mesh.pod(name).serve("echo-server", port)));
  const [client, web] = await Promise.all(["client", "web"].map((name) => mesh.pod(name).app("dialer")));
  return { mesh, client: client!, web: web!, host: mesh.pod("server").ip };
}

/** An open connection that has carried bytes both ways. */
const openLong = ({ client, host }: World, name: string): Promise<void> => openFrom(client, host, name);

async function openFrom(from: Child, host: string, name: string): Promise<void> {
  await from.request({ do: "open", name, host, port, send: canary });
  await from.request({ do: "read", name, expect: canary.length });
}

const isNamed =
  (name: string) =>
  (line: Readonly<Record<string, unknown>>): boolean =>
    line["name"] === name;

describe("a project's CA that leaves the bundle", { skip: needsRoot }, () => {
  let here: World;
  before(async () => (here = await world("24h")));
  after(() => here?.mesh.close());

  test("cuts the open connection within a second, and its record says why", async () => {
    await openLong(here, "long");
    const proxies = [here.mesh.proxy("client"), here.mesh.proxy("server")];
    const froms = proxies.map(({ position }) => position);
    const removed = performance.now();
    rmSync(join(here.mesh.ca.store, "projects", "shop"), { recursive: true });
    const ended = await here.client.event("ended", isNamed("long"));
    assert.equal(ended["ended"], "reset");
    assert.ok(performance.now() - removed < 2_000, `it took ${performance.now() - removed} ms`);
    // Both are told at about the same time: whoever is first cuts it, and to the other one it is a reset.
    const records = proxies.map((proxy, index) => proxy.event("connection_closed", undefined, { from: froms[index]! }));
    const reasons = (await Promise.all(records)).map((line) => line["reason"]);
    assert.ok(reasons.includes("issuer_removed"), reasons.join());
  });
});

describe("a certificate that cannot be renewed", { skip: needsRoot }, () => {
  let here: World;
  before(async () => (here = await world("10s")));
  after(() => here?.mesh.close());

  test("ends its connections with itself, and nothing flows afterwards", async () => {
    await here.mesh.ca.child.stop();
    const { client, web, host, mesh } = here;
    await openLong(here, "long");
    await openFrom(client, mesh.pod("web").ip, "clear-out");
    await openFrom(web, host, "clear-in");
    for (const [from, name] of [
      [client, "long"] as const,
      [client, "clear-out"] as const,
      [web, "clear-in"] as const,
    ]) {
      const ended = await from.event("ended", isNamed(name), { timeoutMs: 20_000 });
      assert.equal(ended["ended"], "reset", name);
    }
    const [near, far] = [mesh.proxy("client"), mesh.proxy("server")];
    await refuses(client, { host, port }, canary, { by: near, reason: "expired" });
    await refuses(client, { host: mesh.pod("web").ip, port }, canary, { by: near, reason: "expired" });
    await refuses(web, { host, port }, canary, { by: far, reason: "expired" });
  });
});

describe("a proxy that is told to stop", { skip: needsRoot }, () => {
  let here: World;
  before(async () => (here = await world("24h")));
  after(() => here?.mesh.close());

  test("lets an open connection finish, takes no new one, and exits with 0", async () => {
    await openLong(here, "long");
    const proxy = here.mesh.proxy("server");
    const from = proxy.position;
    process.kill(proxy.pid, "SIGTERM");
    await proxy.event("draining", undefined, { from });
    const refused = await dial(here.client, { host: here.host, port }, { send: canary });
    assert.equal(refused["bytes"], 0, JSON.stringify(refused));
    await here.client.request({ do: "write", name: "long", send: canary });
    await here.client.request({ do: "read", name: "long", expect: 2 * canary.length });
    await here.client.request({ do: "end", name: "long" });
    const ended = await here.client.event("ended", isNamed("long"));
    assert.deepEqual([ended["ended"], ended["bytes"]], ["end", 2 * canary.length]);
    assert.deepEqual(await proxy.exited, { code: 0, signal: null });
    const line = await proxy.event("connection_closed", undefined, { from });
    assert.deepEqual([line["closedBy"], line["reset"]], ["client", false]);
    await here.mesh.startProxy("server");
    await reaches(here.client, { host: here.host, port }, canary);
  });

  test("resets at its deadline what is still open, and the record says so", async () => {
    await here.mesh.proxy("server").stop();
    const proxy = await here.mesh.startProxy("server", { env: { TENCRYPT_DRAIN: "1s" } });
    await openLong(here, "late");
    const from = proxy.position;
    process.kill(proxy.pid, "SIGTERM");
    const ended = await here.client.event("ended", isNamed("late"));
    assert.equal(ended["ended"], "reset");
    assert.deepEqual(await proxy.exited, { code: 0, signal: null });
    const line = await proxy.event("connection_closed", undefined, { from, timeoutMs: 1_000 });
    assert.deepEqual([line["closedBy"], line["reset"], line["bytesSent"]], ["proxy", true, canary.length]);
  });
});
