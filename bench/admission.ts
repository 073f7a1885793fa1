/**
 * The webhooks at a steady rate of admissions: what the API server itself measured of them
 * (apiserver_admission_webhook_admission_duration_seconds). On a cluster with the chart; pods are made and thrown away
 * in a dry run, which asks every webhook. `npm run bench -- admission [seconds] [a second]`; root
 */
import { loadavg } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { Mesh } from "../test/e2e/kit.ts";

const seconds = Number(process.argv[2] ?? 20);
const perSecond = Number(process.argv[3] ?? 50);
const mesh = await Mesh.start();
await mesh.project("admitted");

type Buckets = ReadonlyMap<string, readonly (readonly [bound: number, count: number])[]>;

async function buckets(): Promise<Buckets> {
  const text = await mesh.cluster.kubectl("get", "--raw", "/metrics");
  const found = new Map<string, [number, number][]>();
  const line = /^apiserver_admission_webhook_admission_duration_seconds_bucket\{([^}]*)le="([^"]+)"[^}]*\} ([0-9]+)/gm;
  for (const [, labels = "", bound = "", count = ""] of text.matchAll(line)) {
    const name = /name="([^"]+)"/.exec(labels)?.[1] ?? "";
    const list = found.get(name) ?? [];
    list.push([bound === "+Inf" ? Infinity : Number(bound), Number(count)]);
    found.set(name, list);
  }
  return found;
}

const pod = {
  metadata: { generateName: "p-" },
  spec: { containers: [{ name: "app", image: "x", readinessProbe: { httpGet: { path: "/", port: 80 } } }] },
};
const before = await buckets();
const calls: Promise<unknown>[] = [];
let failed = 0;
const started = performance.now();
for (let index = 0; index < seconds * perSecond; index++) {
  const due = started + (index * 1000) / perSecond;
  if (due > performance.now()) await pause(due - performance.now());
  calls.push(mesh.cluster.admin.create("/api/v1/namespaces/admitted/pods?dryRun=All", pod).catch(() => failed++));
}
await Promise.all(calls);
const after = await buckets();
console.log(`${perSecond} admissions/s for ${seconds} s, ${failed} failed, load ${loadavg()[0]!.toFixed(1)}`);
for (const [name, list] of after) {
  const earlier = new Map(before.get(name) ?? []);
  const counts = list.map(([bound, count]) => [bound, count - (earlier.get(bound) ?? 0)] as const);
  const all = counts.at(-1)![1];
  if (all === 0) continue;
  const share = (limit: number): string => {
    const within = counts.filter(([bound]) => bound <= limit).at(-1)?.[1] ?? 0;
    return `${((within / all) * 100).toFixed(2)} %`;
  };
  const rows = counts.filter(([bound]) => bound <= 0.1).map(([bound]) => `${bound * 1000} ms ${share(bound)}`);
  console.log(`${name.padEnd(24)} ${all} calls; at most ${rows.join(", ")}`);
}
await mesh.stop();
