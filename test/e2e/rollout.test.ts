/**
 * Rollouts under load: a server that goes on accepting for 2 s after SIGTERM loses no request, ten times in a row. One
 * that closes its listener at once may lose connections that the kernel had accepted for it, and only those. And how soon
 * running proxies go by what has changed.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { whyNoCluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { Mesh } from "./kit.ts";
import { load, readLoad } from "./load.ts";
import type { LoadResult } from "./load.ts";

const why = whyNoCluster();
const perSecond = 200;
const leastPerSecond = 190;
const rollouts = 10;
/** In turn: one pod after the other, as it is where nothing is said, and all at once. */
const strategies = [
  { maxSurge: "25%", maxUnavailable: "25%" },
  { maxSurge: "100%", maxUnavailable: 0 },
];

/** Says at its end how many connections it has accepted, each with one request, and how many requests it has answered. */
const server = (onTerm: string): string => `
  const { createServer } = require("node:http");
  let accepted = 0, answered = 0;
  const server = createServer((request, response) => response.on("finish", () => answered++).end("ok"));
  server.on("connection", () => accepted++);
  server.listen(8080);
  const report = () => { console.log(JSON.stringify({ accepted, answered })); process.exit(0); };
  const end = () => {
    // The listener alone: Node's own close of an HTTP server ends those too whose request it has not read yet.
    require("node:net").Server.prototype.close.call(server, () => setTimeout(report, 20));
  };
  process.on("SIGTERM", () => { ${onTerm} });
`;

/** What a server says of its life. */
type Served = { readonly accepted: number; readonly answered: number };

let mesh: Mesh;
const namespace = "rolling";

before(async () => {
  if (why !== null) return;
  mesh = await Mesh.start({ nodes: 2 });
  await mesh.project(namespace, { mode: "strict" });
  await mesh.pod(namespace, "client");
});
after(() => mesh?.stop());

describe("rollouts under load", why === null ? {} : { skip: why }, () => {
  /** What the servers of now say at their end. */
  async function served(name: string): Promise<readonly Served[]> {
    const pods = await mesh.pods(namespace, name);
    const following = pods.map((pod) => mesh.cluster.kubectl("-n", namespace, "logs", "-f", pod.name, "-c", "app"));
    return (await Promise.all(following)).map((text) => JSON.parse(text.trim().split("\n").at(-1)!) as Served);
  }

  const answeredAll = (ended: readonly Served[]): void => {
    for (const { accepted, answered } of ended) {
      assert.ok(accepted > 0);
      assert.equal(answered, accepted, "what a server has accepted is answered");
    }
  };

  async function rollUnderLoad(
    name: string,
    times: number,
  ): Promise<{ readonly result: LoadResult; readonly ended: readonly Served[] }> {
    const ended: Promise<readonly Served[]>[] = [];
    const running = mesh.execWithInput(namespace, "client", "node", "-e", load(perSecond), name);
    await running.started;
    for (let count = 0; count < times; count++) {
      const rollingUpdate = strategies[count % strategies.length];
      await mesh.cluster.admin.patch(`/apis/apps/v1/namespaces/${namespace}/deployments/${name}`, {
        spec: { strategy: { rollingUpdate } },
      });
      ended.push(served(name));
      await mesh.cluster.kubectl("-n", namespace, "rollout", "restart", `deployment/${name}`);
      await mesh.rolledOut(namespace, name);
    }
    const result = readLoad(await running.finish());
    assert.ok(result.rate >= leastPerSecond, `${result.rate} requests/s`);
    return { result, ended: (await Promise.all(ended)).flat() };
  }

  test("ten rollouts lose no request of a server that goes on accepting for 2 s", async () => {
    await mesh.deploy(namespace, "patient", server("setTimeout(end, 2000);"), { replicas: 2 });
    const { result, ended } = await rollUnderLoad("patient", rollouts);
    assert.deepEqual(result.failures, {});
    assert.equal(result.answered, result.sent);
    assert.ok(result.sent > perSecond * 10, String(result.sent));
    assert.equal(ended.length, 2 * rollouts);
    answeredAll(ended);
  });

  test("a server that closes at once loses no connection but those that it never accepted", async () => {
    await mesh.deploy(namespace, "hasty", server("end();"), { replicas: 2 });
    const { result, ended } = await rollUnderLoad("hasty", 2);
    const { sent, answered, failures } = result;
    // The kernel had accepted them for the server: it resets them when the listener goes.
    const resets = Object.entries(failures)
      .filter(([what]) => what.startsWith("ECONNRESET"))
      .reduce((sum, [, count]) => sum + count, 0);
    assert.equal(sent - answered, resets, JSON.stringify(failures));
    assert.ok(resets <= sent / 100, `${resets} of ${sent}`);
    assert.equal(ended.length, 4);
    answeredAll(ended);
  });
});

describe("what has changed", why === null ? {} : { skip: why }, () => {
  /** Asks until it has met two pods, and writes when it met each, milliseconds since the epoch. */
  const meetTwo = `
    const met = new Map();
    const ask = async () => {
      const answer = await fetch("http://grow/", { headers: { connection: "close" } });
      const [name] = (await answer.text()).split(" ");
      if (!met.has(name)) met.set(name, Date.now());
    };
    const end = Date.now() + 20_000;
    (async () => { while (met.size < 2 && Date.now() < end) await ask(); })().then(
      () => console.log(JSON.stringify([...met])),
      (error) => { console.error(error); process.exit(1); },
    );
  `;

  const readyNow = async (service: string): Promise<readonly string[]> => {
    const selector = `labelSelector=${encodeURIComponent(`kubernetes.io/service-name=${service}`)}`;
    const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?${selector}`;
    const { items } = (await mesh.cluster.admin.get(path)) as unknown as {
      items: { endpoints?: { conditions: { ready?: boolean }; targetRef: { name: string } }[] }[];
    };
    const ready = items.flatMap(({ endpoints = [] }) =>
      endpoints.filter(({ conditions }) => conditions.ready === true),
    );
    return ready.map(({ targetRef }) => targetRef.name);
  };

  test("counts within a second where it is a new replica whose endpoint is ready", async () => {
    await mesh.deploy(namespace, "grow");
    const meeting = mesh.exec(namespace, "client", "node", "-e", meetTwo);
    await mesh.cluster.kubectl("-n", namespace, "scale", "deployment/grow", "--replicas=2");
    const [older] = await readyNow("grow");
    let newer: string | undefined;
    while (newer === undefined) newer = (await readyNow("grow")).find((name) => name !== older);
    const ready = Date.now();
    const { code, stdout, stderr } = await meeting;
    assert.equal(code, 0, stderr);
    const met = new Map(JSON.parse(stdout) as [string, number][]);
    const waited = (met.get(newer) ?? Infinity) - ready;
    assert.ok(waited < 1_000, `${newer} was used ${waited} ms after its endpoint was ready`);
  });

  test("counts within two seconds where it is the mode of a project", async () => {
    await mesh.project("tightened", { mode: "permissive" });
    await mesh.pod("tightened", "server");
    const changed = performance.now();
    await mesh.annotate("tightened", { mode: "strict" });
    await eventually(async () =>
      assert.equal((await mesh.status<{ mode: string }>("tightened", "server")).mode, "strict"),
    );
    const waited = performance.now() - changed;
    assert.ok(waited < 2_000, `strict after ${waited} ms`);
  });
});
