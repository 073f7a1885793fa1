/**
 * kill -9 of either proxy while bytes flow over 50 connections: both ends of each see RST, never a clean end, new
 * connections are refused and nothing goes out in clear. Over both families. The survivor serves others all the while, and
 * gives back what the dead one's connections held.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { dial, reaches } from "../topology/attempts.ts";
import type { Capture, Child, Json } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";

const canary = "canary-killed-proxy-a91c";
const port = 7000;
const connections = 50;
/** Of each, a piece of 4 KB: a capture keeps up with all of them. */
const everyMs = 40;

let mesh: Mesh;
let bridge: Capture;
let client: Child;
let echo: Child;

before(async () => {
  if (needsRoot !== false) return;
  const names = ["client", "server", "bystander"];
  mesh = await startMesh({
    projects: { shop: { mode: "project" } },
    pods: names.map((name) => ({ name, project: "shop" })),
  });
  bridge = await mesh.cluster.capture();
  client = await mesh.pod("client").app("dialer");
  echo = (await mesh.pod("server").serve("echo-server", port)).child;
  for (const host of mesh.pod("server").ips) await reaches(client, { host, port }, canary);
  await echo.event("connection_closed", ({ connection }) => connection === 2);
});
after(() => mesh?.close());

const address = (family: "v4" | "v6"): string => (family === "v4" ? mesh.pod("server").ip : mesh.pod("server").ip6);

type Positions = { readonly client: number; readonly echo: number };

/** So many open connections, each of which has carried bytes both ways and goes on. */
async function underLoad(host: string, names: readonly string[], from: Positions): Promise<void> {
  const pumping = { host, port, pump: canary, everyMs, discard: true };
  await Promise.all(names.map((name) => client.request({ do: "open", name, ...pumping })));
  await Promise.all(names.map((name) => client.event("data", (line) => line["name"] === name, { from: from.client })));
}

/** How each connection ended, for the one that dialled it and for the one that took it. */
async function endings(names: readonly string[], from: Positions): Promise<readonly unknown[]> {
  const dialled = await Promise.all(
    names.map((name) => client.event("ended", (line) => line["name"] === name, { from: from.client })),
  );
  const closed = (): readonly Json[] => echo.events("connection_closed", from.echo);
  await echo.waitForLine(() => closed().length >= names.length, { what: "the end of all", from: from.echo });
  return [...dialled, ...closed()].map(({ ended }) => ended);
}

async function assertRefusedNow(host: string): Promise<void> {
  const again = await dial(client, { host, port }, { send: canary });
  assert.equal(again["bytes"], 0, JSON.stringify(again));
  assert.match(`${String(again["error"])} ${String(again["ended"])}`, /ECONNREFUSED|reset/);
}

describe("a proxy that is killed", { skip: needsRoot }, () => {
  for (const [victim, survivor] of [
    ["client", "server"],
    ["server", "client"],
  ] as const) {
    for (const family of ["v4", "v6"] as const) {
      test(`the ${victim}'s, under load over ${family}: RST at both applications`, async () => {
        const host = address(family);
        const names = Array.from({ length: connections }, (_, index) => `${victim}-${family}-${index}`);
        const from = { client: client.position, echo: echo.position };
        const steady = await watchSteady(mesh, { from: "bystander", to: survivor, text: canary });
        await underLoad(host, names, from);
        const proxy = mesh.proxy(victim);
        proxy.kill("SIGKILL");
        const ends = await endings(names, from);
        assert.deepEqual(new Set(ends), new Set(["reset"]));
        assert.equal(ends.length, 2 * connections);
        await proxy.exited;
        await assertRefusedNow(host);
        await mesh.startProxy(victim);
        const restored = echo.position;
        await reaches(client, { host, port }, canary);
        // The next test asks how its own connections ended.
        await echo.event("connection_closed", undefined, { from: restored });
        await steady.end();
      });
    }
  }

  test("nothing of it crossed the bridge in clear", async () => {
    const captured = await bridge.stop();
    assert.ok(captured.bytes > 0);
    assert.equal(captured.count(canary), 0);
  });
});
