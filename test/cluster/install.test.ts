/**
 * The chart with no value set on a real cluster, with real images: the command line installs it, it comes up and says so,
 * passes its own test, is upgraded without losing what a hook wrote, and leaves nothing when the command line removes it.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { chart, releaseNamespace } from "../chart/helm.ts";
import { Cluster, whyNoCluster } from "./cluster.ts";
import type { Answer } from "./cluster.ts";
import { eventually } from "./eventually.ts";

const why = whyNoCluster();
/** They come and go by themselves. */
const passing = /^(?:events|leases|componentstatuses)\b/;
const main = join(import.meta.dirname, "../../cli/main.ts");
const inRelease = ["-n", releaseNamespace];

async function tryNodes(cluster: Cluster): Promise<void> {
  const args = ["check", "--probe", "--yes", "--output", "json"];
  const { code, stdout, stderr } = await cluster.run(process.execPath, [main, ...args]);
  assert.equal(code, 0, stdout + stderr);
  const findings = JSON.parse(stdout) as readonly { readonly code: string; readonly level: string }[];
  const tried = findings.filter((finding) => /^TC-(?:NODE|NET)/.test(finding.code));
  assert.deepEqual(
    tried.map((finding) => `${finding.code} ${finding.level}`),
    ["TC-NODE-02 good", "TC-NODE-03 good", "TC-NET-01 good", "TC-NET-02 good"],
    stdout,
  );
}

/** What init of the one pod of the project wrote is read through the API. */
async function readBackend(cluster: Cluster): Promise<void> {
  const { stdout, stderr } = await cluster.run(process.execPath, [main, "check", "-n", "shop"]);
  assert.match(stdout, /✓ rules stand in nf_tables on 1 nodes with protected pods\n/, stderr);
}

/** All that is in the cluster, by kind, namespace and name. */
async function objectsOf(cluster: Cluster): Promise<readonly string[]> {
  const kinds = (await cluster.kubectl("api-resources", "--verbs=list", "-o", "name")).trim().split("\n");
  const columns = "NAMESPACE:.metadata.namespace,NAME:.metadata.name";
  const lists = await Promise.all(
    kinds
      .filter((kind) => !passing.test(kind))
      .map(async (kind) => {
        const text = await cluster.kubectl("get", kind, "-A", "--no-headers", "-o", `custom-columns=${columns}`);
        const lines = text.split("\n").filter((line) => line.trim() !== "");
        return lines.map((line) => `${kind} ${line.trim().replaceAll(/\s+/g, " ")}`);
      }),
  );
  return lists.flat().toSorted();
}

describe("the chart on a cluster", why === null ? {} : { skip: why }, () => {
  let cluster: Cluster;
  let before_: readonly string[];

  const tencrypt = (...args: readonly string[]): Promise<Answer> => cluster.run(process.execPath, [main, ...args]);
  const server = (): string => `10.222.${cluster.place.index}.11:6443`;

  const bundles = async (): Promise<readonly string[]> => {
    const path = "jsonpath={.webhooks[*].clientConfig.caBundle}";
    const all = ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"];
    return Promise.all(all.map((kind) => cluster.kubectl("get", kind, "tencrypt", "-o", path)));
  };

  before(async () => {
    cluster = await Cluster.start();
    before_ = await objectsOf(cluster);
  });
  after(() => cluster?.stop());

  test("can be looked at before, on its nodes and their network too, and is as it was then", async () => {
    await tryNodes(cluster);
    await eventually(async () => assert.deepEqual(await objectsOf(cluster), before_));
  });

  test("is installed by one command, and everything gets ready", async () => {
    const { code, stdout, stderr } = await tencrypt("install", "--timeout", "120s");
    assert.equal(code, 0, stderr);
    assert.equal(stdout, "", "no data was asked for");
    const [first, ...helms] = stderr.trim().split("\n");
    const waiting = "waiting for controller, ca and the webhooks' trust, at most 120s";
    assert.equal(first, `install on ${server()}: ${waiting}`);
    assert.ok(helms.includes("STATUS: deployed"), stderr);
    assert.ok(helms.includes("  kubectl label namespace NAME tencrypt.io/project=enabled"), stderr);
    assert.equal(helms.at(-1), "next: tencrypt check; then the steps above, for each project");
    for (const [namespace, name] of [
      ["tencrypt-ca", "tencrypt-ca"],
      ["tencrypt-system", "tencrypt-controller"],
    ] as const)
      assert.equal(
        await cluster.kubectl("-n", namespace, "get", "deployment", name, "-o", "jsonpath={.status.readyReplicas}"),
        "2",
      );
  });

  test("has told the API server the root, and kept no right to do so", async () => {
    const root = await cluster.kubectl(
      "-n",
      "tencrypt-ca",
      "get",
      "configmap",
      "tencrypt-root",
      "-o",
      "jsonpath={.data.ca\\.crt}",
    );
    const wanted = Buffer.from(root).toString("base64");
    assert.deepEqual(await bundles(), [`${wanted} ${wanted}`, wanted]);
    assert.doesNotMatch(
      await cluster.kubectl("get", "clusterroles", "-o", "name"),
      /tencrypt-(?:trust|uninstall|test)/,
    );
  });

  test("passes helm test", async () => {
    const { code, stdout, stderr } = await cluster.helm("test", "tencrypt", ...inRelease);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /Phase: +Succeeded/);
    assert.match(stderr, /✓ tencrypt-controller\.tencrypt-system\.svc:443 stands under it/);
  });

  test("is upgraded while the API server believes its webhooks", async () => {
    const earlier = await bundles();
    const { code, stderr } = await cluster.helm(
      "upgrade",
      "tencrypt",
      chart,
      ...inRelease,
      "--set",
      "mode=permissive",
      "--no-hooks",
    );
    assert.equal(code, 0, stderr);
    assert.deepEqual(await bundles(), earlier);
  });

  test("protects a pod of a labelled namespace, and says when it is uninstalled whose certificates end", async () => {
    const path = "/api/v1/namespaces/shop";
    await cluster.objects.namespace("shop", { "tencrypt.io/project": "enabled" });
    const image = "localhost/tencrypt-test/node:1";
    const app = { name: "app", image, imagePullPolicy: "Never", command: ["sleep", "infinity"] };
    await cluster.admin.create(`${path}/pods`, {
      metadata: { name: "web" },
      spec: { containers: [app], terminationGracePeriodSeconds: 1 },
    });
    await cluster.kubectl("-n", "shop", "wait", "--for=condition=Ready", "pod/web", "--timeout=60s");
    await readBackend(cluster);
    assert.match(await cluster.kubectl("-n", "shop", "logs", "web", "-c", "tencrypt-proxy"), /"event":"ready"/);
    const { code, stdout, stderr } = await tencrypt("uninstall", "--yes");
    assert.equal(code, 0, stderr);
    assert.equal(stdout, "", "no data was asked for");
    const [ends, whose] = stderr.split("\n");
    assert.equal(ends, `This removes the control plane of the cluster ${server()} and all keys of the ca.`);
    assert.match(whose ?? "", /^Pods that have a proxy: 1 \(shop 1\)\. They keep refusing clear text/);
    assert.match(stderr, /^release "tencrypt" uninstalled$/m);
    assert.match(stderr, /WARNING: 1 running pod in 1 project still had a proxy of Tencrypt \(shop 1\)/);
    assert.equal(await cluster.kubectl("-n", "shop", "get", "pod", "web", "-o", "jsonpath={.status.phase}"), "Running");
    await cluster.kubectl("delete", "namespace", "shop");
  });

  test("leaves nothing behind but the namespace that helm made, with what every namespace gets", async () => {
    // No object is named by Tencrypt here: what a namespace has from its first moment, by the controller manager.
    const ofHelm = [
      `namespaces <none> ${releaseNamespace}`,
      `configmaps ${releaseNamespace} kube-root-ca.crt`,
      `serviceaccounts ${releaseNamespace} default`,
    ];
    await eventually(async () => assert.deepEqual(await objectsOf(cluster), [...before_, ...ofHelm].toSorted()));
    await cluster.kubectl("delete", "namespace", releaseNamespace);
    await eventually(async () => assert.deepEqual(await objectsOf(cluster), before_));
  });
});
