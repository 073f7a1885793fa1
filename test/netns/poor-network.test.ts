/**
 * Networks that lose packets: one in twenty, which costs time and nothing else, and all of one direction, which is found
 * by PING at both ends although the other direction still delivers. Both address families have it. Who does not use that
 * network does not notice.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { bracketed, filesReturnTo, openFiles, reaches } from "../topology/attempts.ts";
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

/** While `work` goes on, the pod has that rule for TCP in front of all others, in both families; `to`: towards these addresses. */
async function under(
  pod: string,
  { chain, match, to }: { chain: string; match: readonly string[]; to?: readonly [string, string] },
  work: () => Promise<void>,
): Promise<void> {
  const set = async (how: string, ...at: string[]): Promise<void> => {
    for (const [index, command] of ["iptables", "ip6tables"].entries()) {
      const towards = to === undefined ? [] : ["-d", to[index]!];
      await mesh.pod(pod).must(command, ["-w", how, chain, ...at, "-p", "tcp", ...towards, ...match], { uid: 0 });
    }
  };
  await set("-I", "1");
  try {
    await work();
  } finally {
    await set("-D");
  }
}

const reachesBoth = async (): Promise<void> => {
  for (const host of mesh.pod("server").ips) await reaches(inside, { host, port: ports.echo }, canary);
};

/** Of both families together. */
const count = 100;
const pieces = 50;

async function answersAll(host: string): Promise<void> {
  const url = `http://${bracketed(host)}:${ports.http}/${canary}`;
  const { total, succeeded, failures } = await requests.request(
    { do: "get", url, count: count / 2, connection: "new", timeoutMs: 20_000 },
    { timeoutMs: 120_000 },
  );
  assert.deepEqual([total, succeeded, failures], [count / 2, count / 2, []]);
}

async function losesNothing(host: string): Promise<void> {
  const name = `long to ${host}`;
  await inside.request({ do: "open", name, host, port: ports.echo });
  const piece = canary.repeat(200);
  for (let sent = 1; sent <= pieces / 2; sent++) {
    await inside.request({ do: "write", name, send: piece });
    const read = await inside.request(
      { do: "read", name, expect: sent * piece.length, timeoutMs: 60_000 },
      { timeoutMs: 60_000 },
    );
    assert.deepEqual([read["bytes"], read["ended"]], [sent * piece.length, null]);
  }
  await inside.request({ do: "reset", name });
}

describe("a network", { skip: needsRoot }, () => {
  test("that loses one packet in twenty: every request is answered, and an open connection loses nothing", async () => {
    const { ips } = mesh.pod("server");
    await reachesBoth();
    const steady = await watchSteady(mesh, { from: "bystander", to: "client", text: canary });
    const loss = ["-i", "eth0", "-m", "statistic", "--mode", "random", "--probability", "0.05", "-j", "DROP"];
    await under("server", { chain: "INPUT", match: loss }, async () => {
      await Promise.all(ips.flatMap((host) => [answersAll(host), losesNothing(host)]));
    });
    await steady.end();
  });

  test("that delivers in one direction only: both ends find out, nothing is left half-open, and all is well again", async () => {
    await reachesBoth();
    const proxies = [mesh.proxy("client"), mesh.proxy("server")];
    const steady = await watchSteady(mesh, { from: "bystander", to: "client", text: canary });
    const files = proxies.map(({ pid }) => openFiles(pid));
    const { ips } = mesh.pod("server");
    for (const host of ips) {
      await inside.request({ do: "open", name: host, host, port: ports.echo, send: canary });
      await inside.request({ do: "read", name: host, expect: canary.length });
    }
    const away = { chain: "OUTPUT", match: ["-o", "eth0", "-j", "DROP"], to: mesh.pod("client").ips };
    await under("server", away, async () => {
      const started = performance.now();
      const found = async (host: string): Promise<void> => {
        const ended = await inside.event("ended", ({ name }) => name === host, { timeoutMs: 2 * foundWithinMs });
        assert.equal(ended["ended"], "reset");
        assert.ok(
          performance.now() - started < foundWithinMs,
          `${host}: found after ${performance.now() - started} ms`,
        );
      };
      await Promise.all(ips.map(found));
      // The application's connections at the far end are gone too, while nothing of what it says arrives.
      await filesReturnTo(proxies[1]!.pid, files[1]!, { timeoutMs: foundWithinMs });
    });
    await reachesBoth();
    await steady.end();
    for (const [index, { pid }] of proxies.entries()) await filesReturnTo(pid, files[index]!);
  });

  test("and the canary was nowhere on the bridge", async () => {
    assert.equal((await bridge.stop()).count(canary), 0);
  });
});
