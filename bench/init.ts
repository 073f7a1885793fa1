/**
 * How long a pod waits for its rules: init as the image runs it, in new pods of both families, from its guard to its proof and
 * from its start to its end. `npm run bench -- init [runs]`; root
 */
import { loadavg } from "node:os";
import { join } from "node:path";
import { bundleAll } from "../build/bundle.ts";
import { createCluster } from "../test/topology/cluster.ts";
import { uids } from "../test/topology/enter.ts";
import { median } from "./data-path/report.ts";

const runs = Number(process.argv[2] ?? 10);

const cluster = await createCluster();
try {
  const dist = join(cluster.folder, "dist");
  await bundleAll(dist);
  const fromGuard: number[] = [];
  const inAll: number[] = [];
  for (let run = 0; run < runs; run++) {
    const pod = await cluster.pod({ name: `pod-${run}`, project: "shop" });
    const [node = ""] = pod.nodeCommand("");
    const began = performance.now();
    const child = pod.spawn("init", [node, join(dist, "init/main.js")], {
      uid: uids.root,
      env: { TENCRYPT_PROXY_UID: String(uids.proxy) },
    });
    const { durationMs } = await child.event("done");
    await child.exited;
    fromGuard.push(Number(durationMs));
    inAll.push(performance.now() - began);
  }
  console.log(`${runs} pods, Node ${process.version}, load average ${loadavg()[0]!.toFixed(1)}; medians`);
  for (const [what, times] of [
    ["from guard to proof", fromGuard],
    ["from start to end", inAll],
  ] as const) {
    const range = `${Math.min(...times).toFixed(0)} to ${Math.max(...times).toFixed(0)}`;
    console.log(`${what.padEnd(20)} ${median(times).toFixed(0)} ms (${range})`);
  }
} finally {
  await cluster.close();
}
