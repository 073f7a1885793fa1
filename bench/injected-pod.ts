/**
 * What a proxy costs a pod on a cluster: how much later it is ready than the same pod without one, pods of both kinds in
 * turn; how long it waited for its address in the API; and the memory of an idle proxy.
 * `npm run bench -- injected-pod [pods of each kind]`; root
 */
import { readdirSync, readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { idle, Mesh } from "../test/e2e/kit.ts";
import { memoryOf } from "./data-path/process.ts";
import { median } from "./data-path/report.ts";

const count = Number(process.argv[2] ?? 8);
const mesh = await Mesh.start();

/** Milliseconds from the request to the moment in which the API shows the pod as ready. */
async function readyAfter(namespace: string, name: string): Promise<number> {
  const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
  const started = performance.now();
  await mesh.cluster.admin.create(`/api/v1/namespaces/${namespace}/pods`, {
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: "app",
          image: "localhost/tencrypt-test/node:1",
          imagePullPolicy: "Never",
          command: ["node", "-e", idle],
        },
      ],
    },
  });
  for (;;) {
    const { status } = (await mesh.cluster.admin.get(path)) as unknown as {
      readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
    };
    if (status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true) break;
  }
  return performance.now() - started;
}

/** The process of that pod's proxy. */
function proxyOf(uid: string): number {
  for (const pid of readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(`pod${uid}/`)) continue;
      if (readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("dist/proxy/main.js")) return Number(pid);
    } catch {
      // It ended meanwhile.
    }
  }
  throw new Error("no proxy of that pod");
}

await mesh.project("with");
await mesh.cluster.objects.namespace("without");
const times = { with: [] as number[], without: [] as number[] };
const waits: number[] = [];
// The first of each kind fills caches.
for (let index = 0; index <= count; index++)
  for (const namespace of ["without", "with"] as const) {
    const ms = await readyAfter(namespace, `p-${index}`);
    if (index > 0) times[namespace].push(ms);
    if (index === 0 || namespace === "without") continue;
    const lines = await mesh.log("with", `p-${index}`);
    const at = (event: string): number => Date.parse(String(lines.find((line) => line.event === event)?.["time"]));
    waits.push(at("certificate_received") - at("starting"));
  }
const uid = await mesh.cluster.kubectl("-n", "with", "get", "pod", "p-1", "-o", "jsonpath={.metadata.uid}");
const { anonymous, rss } = memoryOf([proxyOf(uid)]);
const [bare, injected] = [median(times.without), median(times.with)];
console.log(`Node ${process.version}, ${count} pods of each kind in turn, load ${loadavg()[0]!.toFixed(1)}`);
console.log(
  `ready without a proxy   median ${bare.toFixed(0)} ms   ${times.without.map((ms) => ms.toFixed(0)).join(" ")}`,
);
console.log(
  `ready with a proxy      median ${injected.toFixed(0)} ms   ${times.with.map((ms) => ms.toFixed(0)).join(" ")}`,
);
console.log(`later by                median ${(injected - bare).toFixed(0)} ms`);
console.log(
  `of it, to a certificate median ${median(waits).toFixed(0)} ms, the wait for the pod's address in the API included`,
);
console.log(
  `an idle proxy           ${(anonymous / 1000).toFixed(1)} MB anonymous, ${(rss / 1000).toFixed(1)} MB resident`,
);
await mesh.stop();
