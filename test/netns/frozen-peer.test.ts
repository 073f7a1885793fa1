/**
 * A peer's proxy that is frozen (SIGSTOP: its kernel still answers) is found by PING, not by TCP, whichever side has dialled and
 * in both address families: open connections end as resets within the PING bound, new ones are refused in time, and after
 * SIGCONT all is as before. Whoever talks to the proxy that found it does not notice.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { filesReturnTo, openFiles, reaches, refusalLine, dial, endpoint } from "../topology/attempts.ts";
import type { Capture, Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";

const canary = "canary-frozen-6d02";
const port = 7000;
/** PING every 10 s, 5 s to answer, and what two busy cores add. */
const foundWithinMs = 17_000;

const pods = ["client", "server", "caller", "bystander"];
/** One that the client dials, and one that dials the client. */
const frozen = ["server", "caller"];

let mesh: Mesh;
let bridge: Capture;
let inside: Child;
let calling: Child;
/** Of the client, which the caller talks to. */
let called: Child;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: pods.map((name) => ({ name, project: "shop" })),
  });
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", port);
  called = (await mesh.pod("client").serve("echo-server", port)).child;
  inside = await mesh.pod("client").app("dialer");
  calling = await mesh.pod("caller").app("dialer");
});
after(() => {
  // A stopped process does not end by SIGTERM.
  if (needsRoot === false) for (const name of frozen) mesh?.proxy(name).kill("SIGCONT");
  return mesh?.close();
});

async function opens(from: Child, host: string): Promise<void> {
  await from.request({ do: "open", name: host, host, port, send: canary });
  await from.request({ do: "read", name: host, expect: canary.length });
}

describe("a frozen peer", { skip: needsRoot }, () => {
  test("is found by PING, refused, and used again when it goes on", async () => {
    const [servers, clients] = [mesh.pod("server").ips, mesh.pod("client").ips];
    const reachesAll = async (): Promise<void> => {
      for (const host of servers) await reaches(inside, { host, port }, canary);
      for (const host of clients) await reaches(calling, { host, port }, canary);
    };
    await reachesAll();
    const here = mesh.proxy("client");
    const steady = await watchSteady(mesh, { from: "bystander", to: "client", text: canary });
    const files = openFiles(here.pid);
    for (const host of servers) await opens(inside, host);
    const numbers: unknown[] = [];
    for (const host of clients) {
      const from = called.position;
      await opens(calling, host);
      numbers.push((await called.event("connection", undefined, { from }))["connection"]);
    }
    for (const name of frozen) mesh.proxy(name).kill("SIGSTOP");
    const started = performance.now();
    const timeoutMs = 2 * foundWithinMs;
    const ends = await Promise.all([
      ...servers.map((host) => inside.event("ended", ({ name }) => name === host, { timeoutMs })),
      ...numbers.map((number) =>
        called.event("connection_closed", ({ connection }) => connection === number, { timeoutMs }),
      ),
    ]);
    assert.deepEqual(
      ends.map(({ ended }) => ended),
      [...servers, ...clients].map(() => "reset"),
    );
    assert.ok(performance.now() - started < foundWithinMs, `found after ${performance.now() - started} ms`);

    const position = here.position;
    const isRefused = async (host: string): Promise<void> => {
      const refused = await dial(inside, { host, port }, { send: canary });
      assert.deepEqual([refused["bytes"], refused["ended"]], [0, "reset"]);
      await refusalLine(here, position, endpoint({ host, port }), "peer_timeout");
    };
    await Promise.all(servers.map(isRefused));

    for (const name of frozen) mesh.proxy(name).kill("SIGCONT");
    await reachesAll();
    await steady.end();
    await filesReturnTo(here.pid, files);
    assert.equal((await bridge.stop()).count(canary), 0);
  });
});
