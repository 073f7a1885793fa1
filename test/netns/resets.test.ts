/**
 * An application that resets its connections, thousands a second, is ordinary churn for its proxy: it ends no other
 * stream of the session that they share, nor fails a request of another pod, and leaves nothing behind at either proxy.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { filesReturnTo, openFiles, reaches } from "../topology/attempts.ts";
import type { Capture, Child, Json } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";

const canary = "canary-resets-93c4";
const port = 7000;
const perSecond = 2_000;
const forMs = 30_000;
const warmUpMs = 4_000;
/** A kilobyte of each connection. */
const grownMb = (perSecond * forMs) / 1e6;
const stalledForMs = 12_000;

let mesh: Mesh;
let bridge: Capture;
let steady: Child;
let churning: Child;

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
  await mesh.pod("server").serve("echo-server", port);
  steady = await mesh.pod("client").app("dialer");
  churning = await mesh.pod("client").app("dialer");
});
after(() => mesh?.close());

describe("an application that resets 2 000 connections a second", { skip: needsRoot }, () => {
  test("ends no other connection of its pod, and leaves no descriptor behind", async () => {
    const target = { host: mesh.pod("server").ip, port };
    await reaches(steady, target, canary);
    const proxies = [mesh.proxy("client"), mesh.proxy("server")];
    // Growth that is not of the first seconds is a leak.
    await churning.request({ do: "resets", ...target, perSecond, forMs: warmUpMs }, { timeoutMs: 10 * warmUpMs });
    const others = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
    const filesBefore = proxies.map(({ pid }) => openFiles(pid));
    const { length: sessionsBefore } = await mesh.sessions("client");
    const echo = (command: Json): Promise<Json> => steady.request({ name: "steady", ...command });
    assert.equal((await echo({ do: "open", ...target, send: canary, discard: true }))["connected"], true);
    let bytes = canary.length;

    let over = false;
    const churn = churning
      .request({ do: "resets", ...target, perSecond, forMs }, { timeoutMs: 3 * forMs })
      .finally(() => (over = true));
    while (!over) {
      bytes += canary.length;
      await echo({ do: "write", send: canary });
      const { bytes: read, ended } = await echo({ do: "read", expect: bytes });
      assert.deepEqual([read, ended], [bytes, null], "the steady connection goes on");
    }
    const { begun, reset, failed } = await churn;
    assert.ok(Number(begun) >= (perSecond * forMs) / 1000, `${String(begun)} begun`);
    // A dial is accepted by the own proxy whatever becomes of it.
    assert.deepEqual([reset, failed], [begun, 0]);

    assert.equal((await echo({ do: "end" }))["ended"], null);
    await steady.event("ended", (line) => line["name"] === "steady" && line["ended"] === "end");
    // A burst may have needed another session, which is kept for a while: a descriptor at each end.
    const more = (await mesh.sessions("client")).length - sessionsBefore;
    await others.end({ moreFiles: more, grownMb });
    for (const [index, { pid }] of proxies.entries()) await filesReturnTo(pid, filesBefore[index]! + more);
  });

  test("nor where the far proxy has no CPU for half a second, again and again", async (t) => {
    const target = { host: mesh.pod("server").ip, port };
    const { pid } = mesh.proxy("server");
    const echo = (command: Json): Promise<Json> => steady.request({ name: "stalled", ...command });
    const others = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
    const { length: sessionsBefore } = await mesh.sessions("client");
    await echo({ do: "open", ...target, send: canary, discard: true });
    let bytes = canary.length;
    let over = false;
    const churn = churning
      .request({ do: "resets", ...target, perSecond, forMs: stalledForMs }, { timeoutMs: 5 * stalledForMs })
      .finally(() => (over = true));
    t.after(() => process.kill(pid, "SIGCONT"));
    while (!over) {
      process.kill(pid, "SIGSTOP");
      await pause(500);
      process.kill(pid, "SIGCONT");
      await pause(1_000);
      bytes += canary.length;
      await echo({ do: "write", send: canary });
      const { bytes: read, ended } = await echo({ do: "read", expect: bytes });
      assert.deepEqual([read, ended], [bytes, null], "the steady connection goes on");
    }
    const { begun } = await churn;
    assert.ok(Number(begun) > perSecond, `${String(begun)} begun`);
    await echo({ do: "reset" });
    await others.end({ moreFiles: Math.max(0, (await mesh.sessions("client")).length - sessionsBefore) });
  });

  test("and the canary was nowhere on the bridge", async () => {
    assert.equal((await bridge.stop()).count(canary), 0);
  });
});
