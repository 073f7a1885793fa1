/**
 * 1 000 idle and 100 busy connections through a proxy whose soft limit of open files is 1 024: all of them are carried. With
 * 1 024 as the hard limit too it refuses, with the reason, what it could not hold, renews its certificate meanwhile, and
 * the busy ones do not notice. Nor do other pods in either case.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { filesReturnTo, openFiles, reaches } from "../topology/attempts.ts";
import type { Capture, Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import type { Json } from "../topology/child.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh, StartOptions } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";
import type { Steady } from "../topology/steady.ts";

const canary = "canary-many-connections-8e41";
const port = 7000;
const idle = names("idle", 1_000);
const busy = names("busy", 100);
const rounds = 5;
/** Of what 1 100 connections made, the collector may not have seen all yet. */
const grownMb = 60;

function names(of: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${of}-${index}`);
}

type World = { mesh: Mesh; dialer: Child; bridge: Capture; steady: Steady };

async function world(nofile: NonNullable<StartOptions["nofile"]>): Promise<World> {
  const mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: ["client", "server", "bystander"].map((name) => ({ name, project: "shop" })),
    leafTtl: "10s",
    without: ["client"],
  });
  await mesh.startProxy("client", { nofile });
  const bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", port);
  const dialer = await mesh.pod("client").app("dialer");
  await reaches(dialer, { host: mesh.pod("server").ip, port }, canary);
  const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
  return { mesh, bridge, dialer, steady };
}

/** Open and answered, or ended: what `read` says of it. */
async function open({ mesh, dialer }: Pick<World, "mesh" | "dialer">, name: string): Promise<Json> {
  await dialer.request({ do: "open", name, host: mesh.pod("server").ip, port, send: canary });
  return dialer.request({ do: "read", name, expect: canary.length });
}

const isCarried = ({ bytes, ended }: Json): boolean => bytes === canary.length && ended === null;
const isReset = ({ bytes, ended }: Json): boolean => bytes === 0 && ended === "reset";

const openAll = (here: World, which: readonly string[]): Promise<readonly Json[]> =>
  Promise.all(which.map((name) => open(here, name)));

/** Each of them sends and is answered `rounds` times; they have been answered once when they were opened. */
async function exchange({ dialer }: World): Promise<void> {
  for (let round = 2; round <= 1 + rounds; round++) {
    const answers = busy.map(async (name) => {
      await dialer.request({ do: "write", name, send: canary });
      return dialer.request({ do: "read", name, expect: round * canary.length });
    });
    for (const { bytes, ended } of await Promise.all(answers))
      assert.deepEqual([bytes, ended], [round * canary.length, null]);
  }
}

const closeAll = ({ dialer }: World, which: readonly string[]): Promise<unknown> =>
  Promise.all(which.map((name) => dialer.request({ do: "reset", name, timeoutMs: 1 })));

describe("open files: 1 024 at first, more if asked for", { skip: needsRoot }, () => {
  let here: World;
  before(async () => (here = await world("1024:20000")));
  after(() => here?.mesh.close());

  test("every connection is carried, and the descriptors come back", async () => {
    const proxy = here.mesh.proxy("client");
    await reaches(here.dialer, { host: here.mesh.pod("server").ip, port }, canary);
    const files = openFiles(proxy.pid);
    assert.ok((await openAll(here, busy)).every(isCarried));
    assert.ok((await openAll(here, idle)).every(isCarried));
    assert.ok(openFiles(proxy.pid) > 1_100);
    await exchange(here);
    await closeAll(here, [...idle, ...busy]);
    // A renewal may be on its way to the ca.
    await filesReturnTo(proxy.pid, files + 2);
    await here.steady.end({ moreFiles: 2, grownMb });
    assert.equal((await here.bridge.stop()).count(canary), 0);
  });
});

describe("open files: 1 024 and no more", { skip: needsRoot }, () => {
  let here: World;
  before(async () => (here = await world(1_024)));
  after(() => here?.mesh.close());

  test("it says at its start how much it can hold", async () => {
    const line = await here.mesh.proxy("client").event("few_open_files");
    assert.deepEqual([line["openFiles"], line["connections"]], [1_024, 352]);
  });

  test("what it cannot hold is refused with the reason; those that are open and its renewals go on", async () => {
    const proxy = here.mesh.proxy("client");
    assert.ok((await openAll(here, busy)).every(isCarried));
    const from = proxy.position;
    const answers = await openAll(here, idle);
    assert.equal(answers.filter(isCarried).length, 352 - busy.length);
    assert.equal(answers.filter(isReset).length, idle.length - (352 - busy.length));
    await proxy.event("connection_refused", ({ reason }) => reason === "over_limit", { from });
    await proxy.event("certificate_received", undefined, { from: proxy.position, timeoutMs: 12_000 });
    await exchange(here);
  });

  test("and when they are gone it has all descriptors back, and serves", async () => {
    await closeAll(here, [...idle, ...busy]);
    await filesReturnTo(here.mesh.proxy("client").pid, 64);
    await here.steady.end({ moreFiles: 2, grownMb });
    await reaches(here.dialer, { host: here.mesh.pod("server").ip, port }, canary);
    assert.equal((await here.bridge.stop()).count(canary), 0);
  });
});

describe("20 connections and no more, at the pod that is called", { skip: needsRoot }, () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await startMesh({
      projects: { shop: { mode: "strict" } },
      pods: ["client", "server"].map((name) => ({ name, project: "shop" })),
      without: ["server"],
    });
    await mesh.startProxy("server", { env: { TENCRYPT_MAX_CONNECTIONS: "20" } });
    await mesh.pod("server").serve("echo-server", port);
  });
  after(() => mesh?.close());

  test("streams beyond them are refused, with the reason at both ends, and those that are open go on", async () => {
    const dialer = await mesh.pod("client").app("dialer");
    const [client, server] = [mesh.proxy("client"), mesh.proxy("server")];
    const positions = [client.position, server.position] as const;
    const streams = names("stream", 30);
    const answers = await Promise.all(streams.map((name) => open({ mesh, dialer }, name)));
    assert.deepEqual([answers.filter(isCarried).length, answers.filter(isReset).length], [20, 10]);
    const isFull = ({ reason }: Json): boolean => reason === "over_limit";
    assert.equal((await client.event("connection_refused", isFull, { from: positions[0] }))["direction"], "outbound");
    assert.equal((await server.event("connection_refused", isFull, { from: positions[1] }))["direction"], "inbound");
    const carried = streams.filter((_, index) => isCarried(answers[index]!));
    for (const name of carried) {
      await dialer.request({ do: "write", name, send: canary });
      const { bytes } = await dialer.request({ do: "read", name, expect: 2 * canary.length });
      assert.equal(bytes, 2 * canary.length);
    }
  });
});
