/**
 * What happens while a part of the control plane is replaced or away. Certificates live for 40 s here, so that their end is seen:
 * without the controller everything goes on, without the ca everything goes on until the certificates end.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { whyNoCluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { idle, Mesh, podSpec } from "./kit.ts";

const why = whyNoCluster();
const ttlMs = 40_000;
const recoveryMs = 5_000;

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
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "late" }, spec: podSpec(idle, {}) };
    await assert.rejects(mesh.apply("shop", pod), /failed calling webhook "inject\.tencrypt\.io"/);
    await mesh.pod("plain", "late");
  });
});

describe("with the controller back", why === null ? {} : { skip: why }, () => {
  test("the same pod starts, and running proxies hear of it", async () => {
    await mesh.pod("shop", "late");
    assert.ok((await mesh.call("shop", "late", "http://web/")).ok);
  });
});

describe("the ca", why === null ? {} : { skip: why }, () => {
  test("away: traffic goes on until the certificates end, then stops, and is back soon after the ca", async () => {
    await scale(ca, 0);
    const away = performance.now();
    assert.ok(await calls());
    await eventually(async () => assert.ok(!(await calls())), ttlMs + 10_000);
    const stoppedAfter = performance.now() - away;
    // Renewed at half of its life, a certificate has at least that half left.
    assert.ok(stoppedAfter > ttlMs / 4, `stopped after ${stoppedAfter} ms`);
    assert.ok(!(await calls()), "and stays so");
    await scale(ca, 2);
    const back = performance.now();
    await eventually(async () => assert.ok(await calls()));
    assert.ok(performance.now() - back < recoveryMs, `${performance.now() - back} ms after a replica was ready`);
  });

  test("with one replica killed, 20 pods that start at once all get their certificate", async () => {
    const labels = { app: "many" };
    const template = { metadata: { labels }, spec: { ...podSpec(idle, {}), terminationGracePeriodSeconds: 0 } };
    const spec = { replicas: 20, selector: { matchLabels: labels }, template };
    await mesh.apply("shop", { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "many" }, spec });
    const [victim] = (await kubectl("-n", ca.namespace, "get", "pods", "-o", "name")).split("\n");
    await kubectl("-n", ca.namespace, "delete", victim!, "--grace-period=0", "--force");
    await mesh.rolledOut("shop", "many");
  });
});
