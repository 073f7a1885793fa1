/**
 * What happens while a part of the control plane is replaced or away, and after all of it is gone. Certificates live for 40 s
 * here, so that their end is seen: without the controller everything goes on, without the ca everything goes on until the
 * certificates end.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { releaseNamespace } from "../chart/helm.ts";
import type { Json } from "../cluster/client.ts";
import { whyNoCluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { httpServer, idle, Mesh, podSpec } from "./kit.ts";
import type { LogLine, RunningProgram } from "./kit.ts";
import { load, readLoad } from "./load.ts";

const why = whyNoCluster();
const ttlMs = 40_000;
const recoveryMs = 5_000;
/** Of a call, one after the other. */
const toleranceMs = 2_000;
const steadyPerSecond = 20;
const leastPerSecond = 18;
/** Pods that start at once. */
const many = 20;
/** Of their certificates, those that a replica is killed before. */
const fewestAfter = 5;

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

const calls = async (canary = ""): Promise<boolean> => (await mesh.call("shop", "client", "http://web/", canary)).ok;

before(async () => {
  if (why !== null) return;
  mesh = await Mesh.start({ values: { "ca.leafTtl": `${ttlMs / 1000}s`, "ca.rateLimit": 1000 } });
  await mesh.project("shop");
  await mesh.deploy("shop", "web");
  await mesh.cluster.objects.namespace("plain");
  await Promise.all([mesh.pod("shop", "client"), mesh.pod("shop", "steady"), mesh.pod("plain", "open", httpServer)]);
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

/** Of a pod whose proxy runs all along, from before the controller goes until after it is back. */
let steady: RunningProgram;

describe("without the controller", why === null ? {} : { skip: why }, () => {
  before(async () => {
    steady = mesh.execWithInput("shop", "steady", "node", "-e", load(steadyPerSecond), "web");
    await steady.started;
    await scale(controller, 0);
  });
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

  test("a pod that ran all along has not lost one request, from before it went until now", async () => {
    const { sent, answered, failures, rate } = readLoad(await steady.finish());
    assert.deepEqual(failures, {});
    assert.equal(answered, sent);
    assert.ok(rate >= leastPerSecond, `${rate} requests/s`);
    assert.ok(sent > 10 * steadyPerSecond, `${sent} requests`);
  });
});

/** When the first and the last of the certificates with which client and server talk end, milliseconds since the epoch. */
async function bothEnds(): Promise<{ readonly first: number; readonly last: number }> {
  const [web] = await mesh.pods("shop", "web");
  type Status = { readonly certificate: { readonly notAfter: string } };
  const all = await Promise.all(["client", web!.name].map((pod) => mesh.status<Status>("shop", pod)));
  const ends = all.map(({ certificate }) => Date.parse(certificate.notAfter));
  return { first: Math.min(...ends), last: Math.max(...ends) };
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

/**
 * When the first certificate was issued for each pod whose name begins so, milliseconds since the epoch, by what all replicas of the
 * ca logged, one that started anew included.
 */
async function firstIssued(beginning: string): Promise<ReadonlyMap<string, number>> {
  const ofReplica = async (replica: string): Promise<readonly LogLine[]> => {
    const earlier = await mesh.log(ca.namespace, replica, "--previous").catch(() => []);
    return [...earlier, ...(await mesh.log(ca.namespace, replica, "--previous=false"))];
  };
  const first = new Map<string, number>();
  for (const { event, pod, time } of (await Promise.all((await mesh.names(ca.namespace)).map(ofReplica))).flat())
    if (event === "certificate_issued" && String(pod).startsWith(beginning))
      first.set(String(pod), Math.min(first.get(String(pod)) ?? Infinity, Date.parse(String(time))));
  return first;
}

/** The pods of which a container wrote such a line, out of the kubelet's own files: the API would take too long to ask. */
async function whoWrote(namespace: string, container: string, line: string): Promise<readonly string[]> {
  const { stdout } = await mesh.cluster.inNode(
    "n1",
    "sh",
    "-c",
    `grep -l '${line}' /var/log/pods/${namespace}_*/${container}/*.log`,
  );
  const folders = stdout.split("\n").flatMap((path) => /^\/var\/log\/pods\/([^/]+)\//.exec(path)?.[1] ?? []);
  return [...new Set(folders.map((folder) => folder.split("_")[1]!))];
}

describe("the ca", why === null ? {} : { skip: why }, () => {
  test("away: traffic goes on until the certificates end, then stops, and is back soon after the ca", async () => {
    await scale(ca, 0);
    const { first: end } = await bothEnds();
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

  test("with one replica killed while 20 pods that waited for it ask at once, all get their certificate", async () => {
    await scale(ca, 0);
    await mesh.apply("shop", deployment("many", many));
    await eventually(async () => {
      const asked = await whoWrote("shop", "tencrypt-proxy", '"certificate_renewal_failed"');
      assert.equal(asked.filter((pod) => pod.startsWith("many-")).length, many);
    }, 60_000);
    await kubectl("-n", ca.namespace, "scale", "deployment", ca.name, "--replicas=2");
    const victim = await eventually(async () => {
      const [first] = await whoWrote(ca.namespace, "ca", '"certificate_issued".*"pod":"many-');
      return first ?? assert.fail("none yet");
    });
    await mesh.kill({ namespace: ca.namespace, pod: victim }, "dist/ca/main.js");
    const killedAt = Date.now();
    await mesh.rolledOut("shop", "many");
    const all = (await mesh.pods("shop", "many")).map(({ name }) => name);
    assert.equal(all.length, many);
    const served = await firstIssued("many-");
    assert.deepEqual(
      all.filter((name) => !served.has(name)),
      [],
    );
    const later = [...served.values()].filter((at) => at > killedAt);
    assert.ok(later.length >= fewestAfter, `${later.length} of ${many} after a replica was killed`);
    const path = "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}";
    assert.equal(await kubectl("-n", ca.namespace, "get", "pod", victim, "-o", path), "137");
    // What comes after is measured on a node that has little to do.
    await kubectl("-n", "shop", "delete", "deployment", "many", "--wait=false");
  });
});

describe("after an uninstallation", why === null ? {} : { skip: why }, () => {
  const [inTunnel, inClear] = [1, 2].map(() => `canary-${randomBytes(8).toString("hex")}`) as [string, string];
  const addressOf = async (namespace: string, app: string): Promise<string> => {
    const [pod = assert.fail(`no ${app}`)] = await mesh.pods(namespace, app);
    return `http://${pod.ip}:8080/`;
  };
  /** In clear or as it likes, to a node: nobody has to be asked who that is. */
  const goesOut = async (): Promise<boolean> => {
    const version = `https://10.222.${mesh.cluster.place.index}.11:6443/version`;
    return (await mesh.exec("shop", "client", "curl", "-skf", "-m", "8", version)).code === 0;
  };

  test("pods go on until their certificates end, then everything is refused, and nothing goes out in clear", async () => {
    const [web, open] = [await addressOf("shop", "web"), await addressOf("plain", "open")];
    const { code, stderr } = await mesh.cluster.helm("uninstall", "tencrypt", "-n", releaseNamespace, "--wait");
    assert.equal(code, 0, stderr);
    const capture = await mesh.capture("n1", "cni0");
    assert.ok((await mesh.call("plain", "late", open, inClear)).ok);
    const { first: end, last } = await bothEnds();
    assert.ok(await goesOut());
    let lastGood = 0;
    for (let begun = Date.now(); begun < end + 2 * toleranceMs && (await calls(inTunnel)); begun = Date.now())
      lastGood = begun;
    assert.ok(lastGood < end && end - lastGood < toleranceMs, `${lastGood - end} ms after the first certificate ended`);
    while (Date.now() <= last) assert.ok(!(await calls(inTunnel)), "and stays so");
    assert.ok(!(await goesOut()), "out of the project");
    for (const url of ["http://web/", web])
      assert.ok(!(await mesh.call("shop", "client", url, inTunnel)).ok, `to ${url}`);
    assert.ok(!(await mesh.call("shop", "late", web, inTunnel)).ok, "from another pod of the project");
    assert.ok(!(await mesh.call("plain", "late", web)).ok, "from a pod of none");
    await mesh.refusal("shop", "client", "expired");
    const { count } = await capture.stop();
    assert.ok(count(inClear) > 0, "a capture that sees nothing proves nothing");
    assert.equal(count(inTunnel), 0);
  });
});
