/**
 * Certificates of ten seconds, renewed every five: a connection lives through all of them, and 200 requests a second
 * beside it, each on a connection of its own, do not notice, and no proxy keeps anything of them.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Capture, Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { noteProxies } from "../topology/steady.ts";

const canary = "canary-reauthentication-51c7";
const ports = { echo: 7000, http: 8080 };
/** With the first one: more than two lifetimes. */
const certificates = 6;
const pods = ["client", "server"];

let mesh: Mesh;
let bridge: Capture;
let long: Child;
let requests: Child;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: pods.map((name) => ({ name, project: "shop" })),
    leafTtl: "10s",
  });
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", ports.echo);
  await mesh.pod("server").serve("http-server", ports.http);
  long = await mesh.pod("client").app("dialer");
  requests = await mesh.pod("client").app("http-client");
});
after(() => mesh?.close());

describe("certificates that end while connections are open", { skip: needsRoot }, () => {
  test(`a connection lives through ${certificates - 1} renewals of both ends, and no request beside it fails`, async () => {
    const { ip } = mesh.pod("server");
    await long.request({ do: "open", name: "long", host: ip, port: ports.echo, send: canary });
    await long.request({ do: "read", name: "long", expect: canary.length });
    const steady = noteProxies(mesh);
    const url = `http://${ip}:${ports.http}/${canary}`;
    await requests.request({ do: "loop", url, intervalMs: 3, connection: "new" });
    for (const name of pods) await renewals(mesh.proxy(name));
    await long.request({ do: "write", name: "long", send: canary });
    await long.request({ do: "read", name: "long", expect: 2 * canary.length });
    const { total, succeeded, failures } = await requests.request({ do: "stop" });
    assert.ok(Number(total) > 2_000, `only ${String(total)} requests`);
    assert.deepEqual([succeeded, failures], [total, []]);
    // A renewal may be on its way to the ca.
    await steady.end({ moreFiles: 2 });
    for (const name of pods) assert.deepEqual(mesh.proxy(name).events("session_not_reauthenticated"), []);
  });

  test("the session that carried it was the only one", async () => {
    const sessions = await mesh.sessions("client");
    const status = JSON.stringify(sessions);
    assert.equal(sessions.length, 1, status);
    // The last renewal may be a moment ago, its exchange a moment ahead.
    assert.ok(sessions[0]!.generation >= certificates - 1, status);
  });

  test("and the canary was nowhere on the bridge", async () => {
    assert.equal((await bridge.stop()).count(canary), 0);
  });
});

async function renewals(proxy: Child): Promise<void> {
  for (let from = 0, count = 0; count < certificates; count++) {
    const line = await proxy.waitForLine(({ json }) => json?.["event"] === "certificate_received", {
      from,
      timeoutMs: 30_000,
    });
    from = proxy.lines.indexOf(line) + 1;
  }
}
