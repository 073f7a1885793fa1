/**
 * What the chart's policies warn of is what the readers of settings cannot read or do not know, and kubectl prints it:
 * one `kubectl apply --dry-run=server` of all cases on a real API server. Nothing is refused.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { whyNoApiServer } from "../cluster/api-server.ts";
import { eventually } from "../cluster/eventually.ts";
import { cacheFolder } from "../cluster/set-up.ts";
import { idleMarks, labelWithoutEffect, podProblems } from "../../lib/project/marks.ts";
import { readProjectSettings } from "../../lib/project/settings.ts";
import type { Marked } from "../../lib/project/settings.ts";
import { enabled, InstalledChart, prefixed } from "./installed.ts";

const why = whyNoApiServer();
const options = why === null ? {} : { skip: why };

type Settings = Readonly<Record<string, string>>;
type Case = {
  readonly labels?: Settings;
  readonly annotations?: Settings;
  /** On the workload itself instead of its template. */
  readonly outside?: Settings;
  /** What a warning names, one for each; none: there is no warning. */
  readonly warns: readonly RegExp[];
};

const namespaces: readonly Case[] = [
  { warns: [] },
  { labels: { project: "enabled" }, warns: [] },
  { labels: { project: "true" }, warns: [/tencrypt\.io\/project=true makes no project/] },
  { labels: { project: "disabled" }, warns: [/tencrypt\.io\/project=disabled makes no project/] },
  { labels: { projct: "enabled" }, warns: [/tencrypt\.io\/projct on a namespace: not known there/] },
  { labels: { mode: "strict" }, warns: [/tencrypt\.io\/mode on a namespace: not known there/] },
  { annotations: { project: "enabled" }, warns: [/tencrypt\.io\/project on a namespace: not known there/] },
  { annotations: { inject: "enabled" }, warns: [/tencrypt\.io\/inject on a namespace: not known there/] },
  {
    annotations: { mod: "strict", peer: "crm" },
    warns: [/tencrypt\.io\/(?:mod, tencrypt\.io\/peer|peer, tencrypt\.io\/mod) on/],
  },
  {
    annotations: { mod: "strict", mode: "on" },
    warns: [/tencrypt\.io\/mod on a/, /tencrypt\.io\/mode: cannot be read/],
  },
  ...["strict", "project", "permissive", " strict "].map((mode) => ({ annotations: { mode }, warns: [] })),
  ...["Strict", "strict;", "1"].map((mode) => ({
    annotations: { mode },
    warns: [/tencrypt\.io\/mode: cannot be read/],
  })),
  { annotations: { "dry-run": "true" }, warns: [/tencrypt\.io\/dry-run: cannot be read/] },
  { annotations: { "dry-run": "strict", "default-injection": "disabled", udp: "allow" }, warns: [] },
  { annotations: { "default-injection": "false" }, warns: [/tencrypt\.io\/default-injection: cannot be read/] },
  { annotations: { udp: "deny" }, warns: [/tencrypt\.io\/udp: cannot be read/] },
  { annotations: { "node-sources": "refuse" }, warns: [] },
  { annotations: { "node-sources": "allow" }, warns: [/tencrypt\.io\/node-sources: cannot be read/] },
  { annotations: { peers: "billing/1f0c-AB, crm/1,\n" }, warns: [] },
  { annotations: { peers: "shop/web/x" }, warns: [/tencrypt\.io\/peers: cannot be read/] },
  { annotations: { "allow-from": "shop/web:8080, shop/a.b" }, warns: [] },
  { annotations: { "allow-from": "" }, warns: [] },
  ...["web", "shop/web:http", "shop/*", "ns/shop/sa/web", "shop web"].map((entry) => ({
    annotations: { "allow-from": `shop/web, ${entry}` },
    warns: [/tencrypt\.io\/allow-from: cannot be read/],
  })),
  // Not looked at: 4 096 characters are as long as a list may be.
  { annotations: { "allow-from": "web,".repeat(1_024) }, warns: [/tencrypt\.io\/allow-from: cannot be read/] },
  { annotations: { "allow-from": `${"web,".repeat(1_024)},` }, warns: [] },
  { annotations: { "allow-from-dry-run": "web" }, warns: [/tencrypt\.io\/allow-from-dry-run: cannot be read/] },
  { annotations: { "allow-egress": "203.0.113.0/24:443,10.0.0.0/8, fd00::/64, [fd00::/64]:443" }, warns: [] },
  ...["example.com:443", "203.0.113.7", "203.0.113.7:443", "10.0.0.0/8:https", "fd00::1"].map((entry) => ({
    annotations: { "allow-egress": entry },
    warns: [/tencrypt\.io\/allow-egress: cannot be read/],
  })),
  { annotations: { "allow-ingress": "198.51.100.0/24:8080, monitoring/prometheus:9090" }, warns: [] },
  { annotations: { "allow-ingress": "prometheus" }, warns: [/tencrypt\.io\/allow-ingress: cannot be read/] },
];

const templates: readonly Case[] = [
  { warns: [] },
  { annotations: { inject: "enabled", mode: "strict", "allow-from": "shop/web" }, warns: [] },
  {
    annotations: {
      "dry-run": "strict",
      "node-sources": "refuse",
      "allow-egress": "203.0.113.0/24:443, [fd00::/64]:443",
      "allow-ingress": "198.51.100.0/24, monitoring/prometheus:9090",
    },
    warns: [],
  },
  { annotations: { "node-sources": "allow" }, warns: [/tencrypt\.io\/node-sources: cannot be read/] },
  { annotations: { "allow-egress": "example.com" }, warns: [/tencrypt\.io\/allow-egress: cannot be read/] },
  { annotations: { udp: "allow" }, warns: [/tencrypt\.io\/udp on a pod: not known there/] },
  // What `tencrypt inject` has written.
  { annotations: { injected: "1+2", root: "pem" }, warns: [] },
  { annotations: { inject: "true" }, warns: [/tencrypt\.io\/inject: cannot be read/] },
  { annotations: { mode: "on" }, warns: [/tencrypt\.io\/mode: cannot be read/] },
  { annotations: { "allow-from": "web" }, warns: [/tencrypt\.io\/allow-from: cannot be read/] },
  { annotations: { injct: "disabled" }, warns: [/tencrypt\.io\/injct on a pod: not known there/] },
  { annotations: { peers: "crm" }, warns: [/tencrypt\.io\/peers on a pod: not known there/] },
  { labels: { inject: "disabled" }, warns: [/tencrypt\.io\/inject on a pod: not known there/] },
  {
    outside: { inject: "disabled" },
    warns: [/tencrypt\.io\/inject on a \w+: without effect; next: put it into its pod/],
  },
  // Tools that annotate everything write it twice.
  { outside: { inject: "disabled" }, annotations: { inject: "disabled" }, warns: [] },
];

let chart: InstalledChart;
before(async () => {
  if (why === null) chart = await InstalledChart.start();
});
after(async () => {
  await chart?.stop();
});

const markedBy = ({ labels = {}, annotations = {} }: Case): Marked => ({
  labels: prefixed(labels) as Settings,
  annotations: prefixed(annotations) as Settings,
});

const shop = "marked";

function workload(kind: string, name: string, each: Case): unknown {
  const metadata = { ...markedBy(each), labels: { ...markedBy(each).labels, app: name } };
  const spec = { containers: [{ name: "app", image: "app" }], restartPolicy: /Job/.test(kind) ? "Never" : "Always" };
  const template = { metadata, spec };
  const specs: Readonly<Record<string, unknown>> = {
    Job: { template },
    CronJob: { schedule: "0 0 * * *", jobTemplate: { spec: { template } } },
    StatefulSet: { serviceName: name, selector: { matchLabels: { app: name } }, template },
  };
  return {
    apiVersion: /Job/.test(kind) ? "batch/v1" : "apps/v1",
    kind,
    metadata: { name, namespace: shop, annotations: prefixed(each.outside ?? {}) },
    spec: specs[kind] ?? { selector: { matchLabels: { app: name } }, template },
  };
}

/** The warnings that kubectl prints, by the name that each begins with. */
async function warnings(items: readonly unknown[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items });
  // What kubectl keeps of discoveries goes away with the API server's folder.
  const env = { PATH: join(cacheFolder(), "bin"), HOME: dirname(chart.api.kubeconfig) };
  const args = ["--kubeconfig", chart.api.kubeconfig, "apply", "--dry-run=server", "-f", "-"];
  const said = await new Promise<string>((resolve, reject) => {
    const child = execFile("kubectl", args, { env }, (error, _, stderr) =>
      error === null ? resolve(stderr) : reject(error),
    );
    child.stdin!.end(list);
  });
  const found = new Map<string, string[]>();
  for (const [, name, text] of said.matchAll(/^Warning: .*?'tencrypt-[\w-]+' with binding '[\w-]+': ([\w-]+): (.*)$/gm))
    found.set(name!, [...(found.get(name!) ?? []), text!]);
  return found;
}

/** Every expected warning is there once, and no other; what a warning names, the reader complains of too. */
function compare(name: string, { warns }: Case, found: readonly string[], problems: readonly string[]): void {
  assert.equal(found.length, warns.length, `${name}: ${found.join(" | ")}`);
  for (const wanted of warns)
    assert.ok(
      found.some((text) => wanted.test(text)),
      `${name}: ${found.join(" | ")}`,
    );
  for (const text of found)
    for (const [mark] of text.split(": ")[0]!.matchAll(/tencrypt\.io\/[\w-]+/g))
      assert.ok(
        problems.some((problem) => problem.includes(mark)),
        `${name}: the reader finds nothing in ${mark}`,
      );
}

describe("warnings about labels and annotations", options, () => {
  before(async () => {
    await chart.api.admin.create("/api/v1/namespaces", { metadata: { name: shop, labels: enabled } });
    // The API server learns of policies from a watch.
    const probe = { apiVersion: "v1", kind: "Namespace", metadata: { name: "probe", ...markedBy(namespaces[2]!) } };
    await eventually(async () => {
      const found = await warnings([probe, workload("Job", "probe-job", templates[3]!)]);
      assert.deepEqual([...found.keys()].toSorted(), ["probe", "probe-job"]);
    });
  });

  test("on namespaces", async () => {
    const items = namespaces.map((each, index) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: `case-${index}`, ...markedBy(each) },
    }));
    const found = await warnings(items);
    for (const [index, each] of namespaces.entries()) {
      const marked = markedBy(each);
      const label = labelWithoutEffect(marked);
      const problems = [
        ...idleMarks("namespace", marked),
        ...readProjectSettings(marked, "project").problems,
        ...(label === null ? [] : ["tencrypt.io/project"]),
      ];
      compare(JSON.stringify(each), each, found.get(`case-${index}`) ?? [], problems);
    }
  });

  for (const kind of ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"])
    test(`on a ${kind} and its pod template`, async () => {
      const found = await warnings(templates.map((each, index) => workload(kind, `case-${index}`, each)));
      for (const [index, each] of templates.entries()) {
        const marked = markedBy(each);
        const problems = [...idleMarks("pod", marked), ...podProblems(marked)];
        const outside = Object.keys(each.outside ?? {}).map((name) => `tencrypt.io/${name}`);
        compare(JSON.stringify(each), each, found.get(`case-${index}`) ?? [], [...problems, ...outside]);
      }
    });

  test("but not in a namespace that is no project", async () => {
    await chart.api.admin.create("/api/v1/namespaces", { metadata: { name: "bare" } });
    const job = workload("Job", "case", templates[3]!) as { readonly metadata: object };
    const found = await warnings([{ ...job, metadata: { ...job.metadata, namespace: "bare" } }]);
    assert.deepEqual([...found.keys()], []);
  });
});
