/**
 * Networks that lose packets: one in twenty, which costs time and nothing else, and all of one direction, which is found
 * by PING at both ends although the other direction still delivers. Who does not use that network does not notice.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { filesReturnTo, openFiles, reaches } from "../topology/attempts.ts";
import type { Capture, Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";

const canary = "canary-poor-network-8e15";
const ports = { echo: 7000, http: 8080 };
/** PING every 10 s, 5 s to answer, and what two busy cores add. */
const foundWithinMs = 17_000;

let mesh: Mesh;
let bridge: Capture;
let inside: Child;
let requests: Child;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: ["client", "server", "bystander"].map((name) => ({ name, project: "shop" })),
  });
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", ports.echo);
  await mesh.pod("server").serve("http-server", ports.http);
  inside = await mesh.pod("client").app("dialer");
  requests = await mesh.pod("client").app("http-client");
});
after(() => mesh?.close());

/** While `work` goes on, the pod has that rule in front of all others. */
async function under(pod: string, rule: readonly string[], work: () => Promise<void>): Promise<void> {
  const [chain = "", ...match] = rule;
  const set = (how: string, ...at: string[]): Promise<string> =>
    mesh.pod(pod).must("iptables", ["-w", how, chain, ...at, ...match], { uid: 0 });
  await set("-I", "1");
  try {
    await work();
  } finally {
    await set("-D");
  }
}

describe("a network", { skip: needsRoot }, () => {
  test("that loses one packet in twenty: every request is answered, and an open connection loses nothing", async () => {
    const target = { host: mesh.pod("server").ip, port: ports.echo };
    await reaches(inside, target, canary);
    const steady = await watchSteady(mesh, { from: "bystander", to: "client", text: canary });
    const loss = ["-m", "statistic", "--mode", "random", "--probability", "0.05", "-j", "DROP"];
    await under("server", ["INPUT", "-i", "eth0", ...loss], async () => {
      await inside.request({ do: "open", name: "long", ...target });
      const url = `http://${target.host}:${ports.http}/${canary}`;
      const answers = requests.request(
        { do: "get", url, count: 100, connection: "new", timeoutMs: 20_000 },
        { timeoutMs: 120_000 },
      );
      const piece = canary.repeat(200);
      for (let sent = 1; sent <= 50; sent++) {
        await inside.request({ do: "write", name: "long", send: piece });
        const read = await inside.request(
          { do: "read", name: "long", expect: sent * piece.length, timeoutMs: 60_000 },
          { timeoutMs: 60_000 },
        );
        assert.deepEqual([read["bytes"], read["ended"]], [sent * piece.length, null]);
      }
      const { total, succeeded, failures } = await answers;
      assert.deepEqual([total, succeeded, failures], [100, 100, []]);
    });
    await inside.request({ do: "reset", name: "long" });
    await steady.end();
  });

  test("that delivers in one direction only: both ends find out, nothing is left half-open, and all is well again", async () => {
    const target = { host: mesh.pod("server").ip, port: ports.echo };
    await reaches(inside, target, canary);
    const proxies = [mesh.proxy("client"), mesh.proxy("server")];
    const steady = await watchSteady(mesh, { from: "bystander", to: "client", text: canary });
    const files = proxies.map(({ pid }) => openFiles(pid));
    await inside.request({ do: "open", name: "open", ...target, send: canary });
    await inside.request({ do: "read", name: "open", expect: canary.length });
    await under("server", ["OUTPUT", "-o", "eth0", "-d", mesh.pod("client").ip, "-j", "DROP"], async () => {
      const started = performance.now();
      const ended = await inside.event("ended", (line) => line["name"] === "open", { timeoutMs: 2 * foundWithinMs });
      assert.equal(ended["ended"], "reset");
      assert.ok(performance.now() - started < foundWithinMs, `found after ${performance.now() - started} ms`);
      // The application's connections at the far end are gone too, while nothing of what it says arrives.
      await filesReturnTo(proxies[1]!.pid, files[1]!, { timeoutMs: foundWithinMs });
    });
    await reaches(inside, target, canary);
    await steady.end();
    for (const [index, { pid }] of proxies.entries()) await filesReturnTo(pid, files[index]!);
  });

  test("and the canary was nowhere on the bridge", async () => {
    assert.equal((await bridge.stop()).count(canary), 0);
  });
});
