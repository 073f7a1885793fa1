/**
 * Proxies of one node, side by side and without traffic: what each holds alone and together, and how long it took from
 * its start to ready, the ca's answer included. `npm run bench -- proxies [count]`; root
 */
import { loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { bundleAll } from "../build/bundle.ts";
import { proxyLaunch } from "../build/proxy-launch.ts";
import { createCluster } from "../test/topology/cluster.ts";
import type { Child } from "../test/topology/cluster.ts";
import { uids } from "../test/topology/enter.ts";
import { proxyEnvironment, startCa, startInit } from "../test/topology/programs.ts";
import { memoryOf } from "./data-path/process.ts";
import { restMs } from "./data-path/scenarios.ts";
import { median } from "./data-path/report.ts";

const count = Number(process.argv[2] ?? 10);

const mb = (kilobytes: readonly number[]): string => (median(kilobytes) / 1000).toFixed(1);

const cluster = await createCluster();
try {
  cluster.project("shop", { mode: "strict" });
  const dist = join(cluster.folder, "dist");
  await bundleAll(dist);
  const pods = [];
  for (let index = 0; index < count; index++) pods.push(await cluster.pod({ name: `pod-${index}`, project: "shop" }));
  await Promise.all(pods.map((pod) => startInit(pod)));
  const ca = await startCa(cluster);
  cluster.writeDirectory();
  const proxies: Child[] = [];
  const startedIn: number[] = [];
  for (const pod of pods) {
    const env = { ...proxyLaunch.env, ...proxyEnvironment(cluster, pod, { ca, mode: "strict" }) };
    const [node = ""] = pod.nodeCommand("");
    const began = performance.now();
    const proxy = pod.spawn("proxy", [node, ...proxyLaunch.flags, join(dist, "proxy/main.js")], {
      uid: uids.proxy,
      env,
    });
    await proxy.event("ready");
    startedIn.push(performance.now() - began);
    proxies.push(proxy);
  }
  await sleep(restMs);
  const memory = proxies.map(({ pid }) => memoryOf([pid]));
  console.log(`${count} proxies, Node ${process.version}, load average ${loadavg()[0]!.toFixed(1)}; medians`);
  console.log(
    `start to ready  ${median(startedIn).toFixed(0)} ms (${Math.min(...startedIn).toFixed(0)} to ${Math.max(...startedIn).toFixed(0)})`,
  );
  console.log(`anonymous       ${mb(memory.map(({ anonymous }) => anonymous))} MB`);
  console.log(`file            ${mb(memory.map(({ file }) => file))} MB, shared by all`);
  console.log(`resident        ${mb(memory.map(({ rss }) => rss))} MB`);
  console.log(`proportional    ${mb(memory.map(({ proportional }) => proportional))} MB`);
} finally {
  await cluster.close();
}
