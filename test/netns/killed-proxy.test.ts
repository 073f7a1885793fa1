/**
 * kill -9 of either proxy while bytes flow: both applications see RST, never a clean end, new connections are refused
 * and nothing goes out in clear. Over both families.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { dial, reaches } from "../topology/attempts.ts";
import type { Capture, Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";

const canary = "canary-killed-proxy-a91c";
const port = 7000;

let mesh: Mesh;
let bridge: Capture;
let client: Child;
let echo: Child;

before(async () => {
  if (needsRoot !== false) return;
  const names = ["client", "server"];
  mesh = await startMesh({
    projects: { shop: { mode: "project" } },
    pods: names.map((name) => ({ name, project: "shop" })),
  });
  bridge = await mesh.cluster.capture();
  client = await mesh.pod("client").app("dialer");
  echo = (await mesh.pod("server").serve("echo-server", port)).child;
});
after(() => mesh?.close());

const address = (family: "v4" | "v6"): string => (family === "v4" ? mesh.pod("server").ip : mesh.pod("server").ip6);

describe("a proxy that is killed", { skip: needsRoot }, () => {
  for (const victim of ["client", "server"]) {
    for (const family of ["v4", "v6"] as const) {
      test(`the ${victim}'s, under load over ${family}: RST at both applications`, async () => {
        const [host, name] = [address(family), `${victim}-${family}`];
        const from = { client: client.position, echo: echo.position };
        await client.request({ do: "open", name, host, port, pump: canary, discard: true });
        await client.event("data", (line) => line["name"] === name, { from: from.client });
        const proxy = mesh.proxy(victim);
        proxy.kill("SIGKILL");
        const ended = await client.event("ended", (line) => line["name"] === name, { from: from.client });
        const served = await echo.event("connection_closed", undefined, { from: from.echo });
        assert.deepEqual([ended["ended"], served["ended"]], ["reset", "reset"]);
        await proxy.exited;
        const again = await dial(client, { host, port }, { send: canary });
        assert.equal(again["bytes"], 0, JSON.stringify(again));
        assert.match(`${String(again["error"])} ${String(again["ended"])}`, /ECONNREFUSED|reset/);
        await mesh.startProxy(victim);
        const restored = echo.position;
        await reaches(client, { host, port }, canary);
        // The next test asks how its own connection ended.
        await echo.event("connection_closed", undefined, { from: restored });
      });
    }
  }

  test("nothing of it crossed the bridge in clear", async () => {
    const captured = await bridge.stop();
    assert.ok(captured.bytes > 0);
    assert.equal(captured.count(canary), 0);
  });
});
