/**
 * An attacker in the path between two proxies changes one TLS record: a bit, its type, its length; or leaves it out, repeats
 * it, swaps it with the next one, or ends TCP behind it. Neither application gets an octet that the other did not send in
 * this place, both see RST and no end, and the next connection works.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { reaches } from "../topology/attempts.ts";
import type { Capture, Child, Pod } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { ip } from "../topology/namespaces.ts";

const canary = "canary-changed-in-transit-";
const port = 7000;
const tunnelPort = 15_008;
const meddlerPort = 9_000;

let mesh: Mesh;
let bridge: Capture;
let client: Child;
let echo: Child;
let meddler: Child;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "between", project: "none", protected: false, listed: false },
    ],
  });
  bridge = await mesh.cluster.capture();
  const [from, between, to] = ["client", "between", "server"].map((name) => mesh.pod(name)) as [Pod, Pod, Pod];
  await ip(from.facts.netns, `route add ${to.ip}/32 via ${between.ip}`);
  const redirect = ["-A", "PREROUTING", "-p", "tcp", "--dport", `${tunnelPort}`, "-j", "REDIRECT", "--to-ports"];
  await between.must("iptables", ["-t", "nat", ...redirect, `${meddlerPort}`], { uid: uids.root });
  const where = ["--port", `${meddlerPort}`, "--to", `${to.ip}:${tunnelPort}`];
  meddler = await between.app("meddler", where, { event: "listening" });
  echo = (await to.serve("echo-server", port)).child;
  client = await from.app("dialer");
});
after(() => mesh?.close());

describe("a TLS record that is changed in transit", { skip: needsRoot }, () => {
  test("could be: everything passes through the attacker's hands", async () => {
    await reaches(client, { host: mesh.pod("server").ip, port }, canary);
    await meddler.event("connection");
  });

  for (const how of ["body", "tag", "type", "length", "drop", "repeat", "swap", "end"])
    for (const direction of ["up", "down"])
      test(`${how}, ${direction}`, async () => {
        const name = `${how}-${direction}`;
        const target = { host: mesh.pod("server").ip, port };
        const from = { client: client.position, echo: echo.position, meddler: meddler.position };
        await client.request({ do: "open", name, ...target, pump: canary });
        await client.event("data", (line) => line["name"] === name, { from: from.client });
        await meddler.request({ do: "meddle", direction, how });
        await meddler.event("meddled", undefined, { from: from.meddler });
        const ended = await client.event("ended", (line) => line["name"] === name, { from: from.client });
        const served = await echo.event("connection_closed", undefined, { from: from.echo });
        assert.deepEqual([ended["ended"], served["ended"]], ["reset", "reset"]);
        const { text } = await client.request({ do: "read", name });
        const received = String(text);
        assert.ok(received.length > 0);
        // The pump repeats whole canaries, so what is whole is a beginning of their endless row.
        assert.equal(received, canary.repeat(received.length / canary.length + 1).slice(0, received.length));
        const restored = echo.position;
        await reaches(client, target, canary);
        await echo.event("connection_closed", undefined, { from: restored });
      });

  test("and nothing of it crossed the bridge in clear", async () => {
    const captured = await bridge.stop();
    assert.ok(captured.bytes > 0);
    assert.equal(captured.count(canary), 0);
  });
});
