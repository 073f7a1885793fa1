/**
 * Certificates of four seconds, renewed before the half of them is over, a hundred times at both ends: a connection lives
 * through all of them and carries bytes under each, and 200 requests a second beside it, each on a connection of its own, do
 * not notice, and no proxy keeps anything of them.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Capture, Child, Json } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { noteProxies } from "../topology/steady.ts";
import type { Steady } from "../topology/steady.ts";

const canary = "canary-reauthentication-51c7";
const ports = { echo: 7000, http: 8080 };
const renewals = 100;
/** With the first one. */
const certificates = renewals + 1;
/** From here on memory is compared: 2 000 requests have been served. */
const warmAfter = 10;
const pods = ["client", "server"];
const clients = 3;
const perSecond = 200;
/** Of each client: together a little more than what is asserted. */
const pacePerClient = 72;

let mesh: Mesh;
let bridge: Capture;
let long: Child;
let requests: readonly Child[];

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: pods.map((name) => ({ name, project: "shop" })),
    // The shortest that leaves a renewal a second and more to arrive before the end, on a machine that is busy.
    leafTtl: "4s",
    caScript: "test/topology/apps/brief-ca.ts",
  });
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", ports.echo);
  await mesh.pod("server").serve("http-server", ports.http);
  long = await mesh.pod("client").app("dialer");
  requests = await Promise.all(Array.from({ length: clients }, () => mesh.pod("client").app("http-client")));
});
after(() => mesh?.close());

describe("certificates that end while connections are open", { skip: needsRoot }, () => {
  test(`a connection lives through ${renewals} renewals of both ends, and no request beside it fails`, async () => {
    const { ip } = mesh.pod("server");
    let expect = canary.length;
    await long.request({ do: "open", name: "long", host: ip, port: ports.echo, send: canary });
    await long.request({ do: "read", name: "long", expect });
    let steady: Steady | null = null;
    const url = `http://${ip}:${ports.http}/${canary}`;
    const started = performance.now();
    for (const each of requests) await each.request({ do: "loop", url, perSecond: pacePerClient, connection: "new" });
    for await (const serial of received(mesh.proxy("client"))) {
      expect += canary.length;
      await long.request({ do: "write", name: "long", send: canary });
      const { bytes, ended } = await long.request({ do: "read", name: "long", expect });
      assert.deepEqual([bytes, ended], [expect, null], `under ${serial}`);
      // The first ones load code and fill heaps, which is no growth.
      if (expect === warmAfter * canary.length) steady = noteProxies(mesh);
    }
    for await (const _ of received(mesh.proxy("server")));
    const answers = await Promise.all(requests.map((each) => each.request({ do: "stop" })));
    assertServed(answers, (performance.now() - started) / 1_000);
    // A renewal may be on its way to the ca.
    await steady!.end({ moreFiles: 2 });
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

function assertServed(answers: readonly Json[], seconds: number): void {
  const sum = (name: string): number => answers.reduce((all, each) => all + Number(each[name]), 0);
  assert.deepEqual([sum("succeeded"), answers.flatMap(({ failures }) => failures)], [sum("total"), []]);
  const rate = sum("total") / seconds;
  assert.ok(rate >= perSecond, `only ${rate} requests a second, for ${seconds} s`);
}

/** Each certificate as it comes, a new one each time. */
async function* received(proxy: Child): AsyncGenerator<string> {
  const serials = new Set<string>();
  for (let from = 0; serials.size < certificates;) {
    const line = await proxy.waitForLine(({ json }) => json?.["event"] === "certificate_received", { from });
    from = proxy.lines.indexOf(line, from) + 1;
    serials.add(String(line.json!["serial"]));
    yield String(line.json!["serial"]);
  }
}
