/**
 * What happens while a part of the control plane is replaced or away. Certificates live for 40 s here, so that their end is seen:
 * without the controller everything goes on, without the ca everything goes on until the certificates end.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Json } from "../cluster/client.ts";
import { whyNoCluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { idle, Mesh, podSpec } from "./kit.ts";

const why = whyNoCluster();
const ttlMs = 40_000;
const recoveryMs = 5_000;
/** Of a call, one after the other. */
const toleranceMs = 2_000;

type Part = { readonly namespace: string; readonly name: string; readonly component: string };
const controller: Part = { namespace: "tencrypt-system", name: "tencrypt-controller", component: "controller" };
const ca: Part = { namespace: "tencrypt-ca", name: "tencrypt-ca", component: "ca" };

let mesh: Mesh;

const kubectl = (...args: readonly string[]): Promise<string> => mesh.cluster.kubectl(...args);

async function scale({ namespace, name, component }: Part, replicas: number): Promise<void> {
  await kubectl("-n", namespace, "scale", "deployment", name, `--replicas=${replicas}`);
  if (replicas > 0) return mesh.rolledOut(namespace, name);
  const selector = `app.kubernetes.io/component=${component}`;
  await kubectl("-n", namespace, "wait", "--for=delete", "pod", "-l", selector, "--timeout=60s");
}

/** Of pods that only wait. */
function deployment(name: string, replicas: number): Json {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: { ...podSpec(idle, {}), terminationGracePeriodSeconds: 0 } };
  const spec = { replicas, selector: { matchLabels: labels }, template };
  return { apiVersion: "apps/v1", kind: "Deployment", metadata: { name }, spec };
}

const calls = async (): Promise<boolean> => (await mesh.call("shop", "client", "http://web/")).ok;

before(async () => {
  if (why !== null) return;
  mesh = await Mesh.start({ values: { "ca.leafTtl": `${ttlMs / 1000}s`, "ca.rateLimit": 1000 } });
  await mesh.project("shop");
  await mesh.deploy("shop", "web");
  await mesh.pod("shop", "client");
  await mesh.cluster.objects.namespace("plain");
});
after(async () => {
  await mesh?.stop();
});

describe("a rollout of the controllers", why === null ? {} : { skip: why }, () => {
  test("refuses no pod", async () => {
    const { namespace, name } = controller;
    const old = (await kubectl("-n", namespace, "get", "pods", "-o", "name")).trim().split("\n");
    const refused: string[] = [];
    let asked = 0;
    let isOver = false;
    const ask = async (): Promise<void> => {
      while (!isOver) {
        const pod = { metadata: { name: `asked-${++asked}` }, spec: podSpec(idle, {}) };
        await mesh.cluster.admin
          .create("/api/v1/namespaces/shop/pods?dryRun=All", pod)
          .catch((error: unknown) => refused.push((error as Error).message));
      }
    };
    const asking = Promise.all([ask(), ask()]);
    await kubectl("-n", namespace, "rollout", "restart", `deployment/${name}`);
    await mesh.rolledOut(namespace, name);
    await kubectl("-n", namespace, "wait", "--for=delete", ...old, "--timeout=60s");
    isOver = true;
    await asking;
    assert.deepEqual(refused, []);
    assert.ok(asked > 100, String(asked));
  });
});

describe("without the controller", why === null ? {} : { skip: why }, () => {
  before(() => scale(controller, 0));
  after(() => scale(controller, 2));

  test("pods go on, also one whose proxy was killed and starts anew", async () => {
    assert.ok(await calls());
    await mesh.endProxy("shop", "client");
    await eventually(async () => {
      const path = "jsonpath={.status.initContainerStatuses[1].restartCount}";
      assert.equal(await kubectl("-n", "shop", "get", "pod", "client", "-o", path), "1");
    });
    await eventually(async () => assert.ok(await calls()));
    const lines = await mesh.log("shop", "client");
    assert.ok(lines.some(({ event, inUse }) => event === "directory_restored" && inUse === true));
    assert.ok(lines.some(({ event }) => event === "directory_lost"));
  });

  test("a new pod of a project waits, and one elsewhere starts", async () => {
    await mesh.apply("shop", deployment("waiting", 1));
    await eventually(async () => {
      const path = "jsonpath={.items[0].status.conditions[?(@.type=='ReplicaFailure')].message}";
      const why_ = await kubectl("-n", "shop", "get", "replicasets", "-l", "app=waiting", "-o", path);
      assert.match(why_, /failed calling webhook "inject\.tencrypt\.io"/);
    });
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "late" }, spec: podSpec(idle, {}) };
    await assert.rejects(mesh.apply("shop", pod), /failed calling webhook "inject\.tencrypt\.io"/);
    await mesh.pod("plain", "late");
  });
});

describe("with the controller back", why === null ? {} : { skip: why }, () => {
  test("a Deployment that waited comes up by itself", async () => {
    await mesh.rolledOut("shop", "waiting");
    const [pod] = await mesh.pods("shop", "waiting");
    assert.ok((await mesh.call("shop", pod!.name, "http://web/")).ok);
  });

  test("the same pod starts, and running proxies hear of it", async () => {
    await mesh.pod("shop", "late");
    assert.ok((await mesh.call("shop", "late", "http://web/")).ok);
  });
});

/** When the first of the certificates with which client and server talk ends, milliseconds since the epoch. */
async function firstEnd(): Promise<number> {
  const [web] = await mesh.pods("shop", "web");
  type Status = { readonly certificate: { readonly notAfter: string } };
  const all = await Promise.all(["client", web!.name].map((pod) => mesh.status<Status>("shop", pod)));
  return Math.min(...all.map(({ certificate }) => Date.parse(certificate.notAfter)));
}

/** When the API first says that a pod of the part is ready. */
async function firstReady({ namespace }: Part): Promise<number> {
  type Pod = {
    readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  };
  await eventually(async () => {
    const pods = (await mesh.cluster.admin.get(`/api/v1/namespaces/${namespace}/pods`))["items"] as readonly Pod[];
    const conditions = pods.flatMap(({ status }) => status.conditions ?? []);
    assert.ok(conditions.some(({ type, status }) => type === "Ready" && status === "True"));
  });
  return performance.now();
}

/** The certificates that replicas of the ca issued for pods whose names begin so, a replica that started anew included. */
async function issued(beginning: string): Promise<readonly { readonly replica: string; readonly pod: string }[]> {
  const ofReplica = async (replica: string): Promise<readonly { readonly replica: string; readonly pod: string }[]> => {
    const earlier = await mesh.log(ca.namespace, replica, "--previous").catch(() => []);
    return [...earlier, ...(await mesh.log(ca.namespace, replica, "--previous=false"))]
      .filter(({ event }) => event === "certificate_issued")
      .map(({ pod }) => ({ replica, pod: String(pod) }));
  };
  const all = await Promise.all((await mesh.names(ca.namespace)).map(ofReplica));
  return all.flat().filter(({ pod }) => pod.startsWith(beginning));
}

describe("the ca", why === null ? {} : { skip: why }, () => {
  test("away: traffic goes on until the certificates end, then stops, and is back soon after the ca", async () => {
    await scale(ca, 0);
    const end = await firstEnd();
    // Renewed at half of its life, a certificate has at least that half left.
    assert.ok(end - Date.now() > ttlMs / 4, `${end - Date.now()} ms left`);
    let lastGood = 0;
    while (Date.now() < end + 2 * toleranceMs && (await calls())) lastGood = Date.now();
    const firstBad = Date.now();
    for (const [what, at] of Object.entries({ lastGood, firstBad }))
      assert.ok(Math.abs(at - end) < toleranceMs, `${what}: ${at - end} ms after the first certificate ended`);
    assert.ok(!(await calls()), "and stays so");
    await kubectl("-n", ca.namespace, "scale", "deployment", ca.name, "--replicas=2");
    const back = await firstReady(ca);
    await eventually(async () => assert.ok(await calls()));
    const waited = performance.now() - back;
    assert.ok(waited < recoveryMs, `${waited} ms after a replica was ready`);
    await mesh.rolledOut(ca.namespace, ca.name);
  });

  test("with one replica killed while it issues, 20 pods that start at once all get their certificate", async () => {
    await mesh.apply("shop", deployment("many", 20));
    const victim = await eventually(async () => {
      const [first] = await issued("many-");
      return first ?? assert.fail("none yet");
    });
    await mesh.kill({ namespace: ca.namespace, pod: victim.replica }, "dist/ca/main.js");
    const before_ = (await issued("many-")).map(({ pod }) => pod);
    assert.ok(new Set(before_).size < 20, "all had theirs before a replica was killed");
    await mesh.rolledOut("shop", "many");
    const all = (await mesh.pods("shop", "many")).map(({ name }) => name);
    const served = new Set((await issued("many-")).map(({ pod }) => pod));
    assert.deepEqual(
      all.filter((name) => !served.has(name)),
      [],
    );
    assert.equal(all.length, 20);
    const path = "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}";
    assert.equal(await kubectl("-n", ca.namespace, "get", "pod", victim.replica, "-o", path), "137");
  });
});
