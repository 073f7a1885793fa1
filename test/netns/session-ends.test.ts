/**
 * The ends of sessions: a project's CA that leaves the bundle cuts them within a second, a certificate that cannot be
 * renewed cuts them within a second of its end; whatever the application goes on writing, no byte of it arrives later. A
 * proxy that is told to stop lets what is open finish. Other projects do not notice. What is cut is cut in both address
 * families.
 */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually } from "../cluster/eventually.ts";
import { dial, endpoint, reaches, refuses } from "../topology/attempts.ts";
import type { Capture, Child, Json } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { noteProxies, watchSteady } from "../topology/steady.ts";

const canary = "canary-session-ends-77e0";
const clear = "clear-text-of-a-project";
const port = 7000;
const withinMs = 1_000;

type World = {
  readonly mesh: Mesh;
  readonly client: Child;
  /** Of the server. */
  readonly ips: readonly [string, string];
  readonly web: Child;
  readonly echo: Child;
  readonly bridge: Capture;
};

/** `aside`: pods of a project that nothing is done to. */
async function world(leafTtl: string, aside: readonly string[] = ["bystander", "other"]): Promise<World> {
  const mesh = await startMesh({
    projects: { shop: { mode: "project" } },
    pods: [
      ...["client", "server"].map((name) => ({ name, project: "shop" })),
      ...aside.map((name) => ({ name, project: "aside" })),
      { name: "web", project: "other", protected: false },
    ],
    leafTtl,
  });
  const bridge = await mesh.cluster.capture();
  const [echo] = await Promise.all(["server", "web"].map((name) => mesh.pod(name).serve("echo-server", port)));
  const [client, web] = await Promise.all(["client", "web"].map((name) => mesh.pod(name).app("dialer")));
  return { mesh, client: client!, web: web!, ips: mesh.pod("server").ips, echo: echo!.child, bridge };
}

/** An open connection that has carried bytes both ways. */
const openLong = ({ client, ips }: World, name: string): Promise<void> => openFrom(client, ips[0], name, canary);

async function openFrom(from: Child, host: string, name: string, send: string): Promise<void> {
  await from.request({ do: "open", name, host, port, send });
  await from.request({ do: "read", name, expect: send.length });
}

/** Open connections, one to each address, that have carried bytes both ways and go on to whatever comes of it; their names. */
async function pumpLong({ client, ips }: World): Promise<readonly string[]> {
  const names: string[] = [];
  for (const host of ips) {
    const [name, from] = [`long to ${host}`, client.position];
    names.push(name);
    await client.request({ do: "open", name, host, port, pump: canary, discard: true });
    await client.event("data", isNamed(name), { from });
  }
  return names;
}

const time = (line: Json): number => Date.parse(String(line["time"]));

/** Of the first connections that the echo had. */
const allEndAt = (here: World, names: readonly string[], moment: number): Promise<unknown> =>
  Promise.all(names.map((name, index) => endsAt(here, { name, number: index + 1 }, moment)));

type Long = { readonly name: string; readonly number: number };

/**
 * Both applications' ends are there within a second of that moment, until which bytes have come; the last that came, came
 * within it.
 */
async function endsAt({ client, echo }: World, { name, number }: Long, moment: number): Promise<void> {
  const [near, far] = await Promise.all([
    client.event("ended", isNamed(name), { timeoutMs: 20_000 }),
    echo.event("connection_closed", ({ connection }) => connection === number, { timeoutMs: 20_000 }),
  ]);
  const [seen, lastAt] = [Date.now() - moment, Number(far["lastAt"]) - moment];
  assert.deepEqual([near["ended"], far["ended"]], ["reset", "reset"]);
  assert.ok(seen < withinMs, `${name}: the ends were there after ${seen} ms`);
  assert.ok(lastAt > -withinMs && lastAt < withinMs, `${name}: the last bytes came ${lastAt} ms after`);
  // Its socket is closed: what it has read is all that it will ever have read.
  assert.ok(Number(far["bytes"]) > canary.length, JSON.stringify(far));
}

async function clearEndsAt(from: Child, name: string, moment: number): Promise<void> {
  const ended = await from.event("ended", isNamed(name), { timeoutMs: 20_000 });
  assert.equal(ended["ended"], "reset", name);
  assert.ok(Date.now() - moment < withinMs, `${name}: ${Date.now() - moment} ms after its certificate's end`);
}

/** How many connections have ended with a certificate, as the pod's proxy tells whoever scrapes it. */
async function endedWithCertificate(mesh: Mesh, pod: string, labels: string): Promise<number> {
  const page = await mesh.pod(pod).must("curl", ["-s", "http://127.0.0.1:15020/metrics"]);
  const lines = page
    .split("\n")
    .filter((line) => line.startsWith(`tencrypt_connections_closed_total{${labels},`))
    .filter((line) => line.includes('reason="certificate_ended"'));
  return lines.reduce((sum, line) => sum + Number(line.split(" ")[1]), 0);
}

const assertSecret = async ({ bridge }: World): Promise<void> =>
  assert.equal((await bridge.stop()).count(canary), 0, "the canary was nowhere on the bridge");

const isNamed =
  (name: string) =>
  (line: Readonly<Record<string, unknown>>): boolean =>
    line["name"] === name;

describe("a project's CA that leaves the bundle", { skip: needsRoot }, () => {
  let here: World;
  before(async () => (here = await world("24h")));
  after(() => here?.mesh.close());

  test("cuts the open connection within a second, no byte comes later, and its record says why", async () => {
    const names = await pumpLong(here);
    const steady = await watchSteady(here.mesh, { from: "bystander", to: "other", text: canary });
    const proxies = [here.mesh.proxy("client"), here.mesh.proxy("server")];
    const froms = proxies.map(({ position }) => position);
    const since = here.mesh.ca.child.position;
    const removed = performance.now();
    rmSync(join(here.mesh.ca.store, "projects", "shop"), { recursive: true });
    const published = await here.mesh.ca.child.event("bundle_published", undefined, { from: since });
    await allEndAt(here, names, time(published));
    assert.ok(performance.now() - removed < 2_000, `it took ${performance.now() - removed} ms`);
    // Both are told at about the same time: whoever is first cuts it, and to the other one it is a reset.
    for (const host of here.ips) {
      const isTo = ({ destination }: Json): boolean => destination === endpoint({ host, port });
      const records = proxies.map((proxy, index) => proxy.event("connection_closed", isTo, { from: froms[index]! }));
      const reasons = (await Promise.all(records)).map((line) => line["reason"]);
      assert.ok(reasons.includes("issuer_removed"), `${host}: ${reasons.join()}`);
    }
    await steady.end();
    // The ca makes a new CA for the next that asks, and what flows then flows under certificates of that one.
    await Promise.all(
      proxies.map((proxy, index) => proxy.event("certificate_received", undefined, { from: froms[index]! })),
    );
    for (const host of here.ips) await eventually(() => reaches(here.client, { host, port }, canary));
    await assertSecret(here);
  });
});

describe("a certificate that cannot be renewed", { skip: needsRoot }, () => {
  let here: World;
  // Nobody stays aside: the certificates of all end.
  before(async () => (here = await world("10s", [])));
  after(() => here?.mesh.close());

  test("ends its connections with itself, and nothing flows afterwards", async () => {
    await here.mesh.ca.child.stop();
    const { client, web, ips, mesh } = here;
    const names = await pumpLong(here);
    const [near, far] = [mesh.proxy("client"), mesh.proxy("server")];
    const held = noteProxies(mesh);
    const outside = mesh.pod("web").ips;
    for (const host of outside) await openFrom(client, host, `clear to ${host}`, clear);
    for (const host of ips) await openFrom(web, host, `clear to ${host}`, clear);
    const ends = [near, far].map((proxy) =>
      Date.parse(String(proxy.events("certificate_received").at(-1)!["notAfter"])),
    );
    await Promise.all([
      allEndAt(here, names, Math.min(...ends)), // of both certificates, the one that ends first
      ...outside.map((host) => clearEndsAt(client, `clear to ${host}`, ends[0]!)),
      ...ips.map((host) => clearEndsAt(web, `clear to ${host}`, ends[1]!)),
    ]);
    const since = here.echo.position;
    for (const host of [...ips, ...outside])
      await refuses(client, { host, port }, canary, { by: near, reason: "expired" });
    for (const host of ips) await refuses(web, { host, port }, clear, { by: far, reason: "expired" });
    assert.deepEqual(here.echo.events("connection", since), [], "nothing has come on another one");
    await held.end();
    const counted = ([pod, direction]: readonly [string, string], transport: string): Promise<number> =>
      endedWithCertificate(mesh, pod, `direction="${direction}",transport="${transport}"`);
    const sides = [["client", "outbound"] as const, ["server", "inbound"] as const];
    assert.deepEqual(await Promise.all(sides.map((side) => counted(side, "clear"))), [outside.length, ips.length]);
    // Whoever is first cuts it, and to the other one it is a reset.
    const tunnelled = await Promise.all(sides.map((side) => counted(side, "tunnel")));
    assert.ok(tunnelled[0]! + tunnelled[1]! >= names.length, tunnelled.join());
    await assertSecret(here);
  });
});

describe("a proxy that is told to stop", { skip: needsRoot }, () => {
  let here: World;
  before(async () => (here = await world("24h")));
  after(() => here?.mesh.close());

  test("lets an open connection finish, takes no new one, and exits with 0", async () => {
    await openLong(here, "long");
    const steady = await watchSteady(here.mesh, { from: "bystander", to: "other", text: canary });
    const proxy = here.mesh.proxy("server");
    const from = proxy.position;
    process.kill(proxy.pid, "SIGTERM");
    await proxy.event("draining", undefined, { from });
    const refused = await dial(here.client, { host: here.ips[0], port }, { send: canary });
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
    await reaches(here.client, { host: here.ips[0], port }, canary);
    await steady.end();
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
    await assertSecret(here);
  });
});
