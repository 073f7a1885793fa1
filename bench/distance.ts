/**
 * One bulk stream between two proxies that are some time apart: whether HTTP/2's windows bound it. What lies between holds back
 * packets and takes part of the two cores, so the first line is the one to compare with.
 * `npm run bench -- distance [round trip in ms ...]`; root, a C compiler
 */
import { execFileSync } from "node:child_process";
import { loadavg } from "node:os";
import { join } from "node:path";
import { createCluster } from "../test/topology/cluster.ts";
import type { Child, Pod } from "../test/topology/cluster.ts";
import { uids } from "../test/topology/enter.ts";
import { ip } from "../test/topology/namespaces.ts";
import { startCa, startInit, startProxy } from "../test/topology/programs.ts";
import { median } from "./data-path/report.ts";

const roundTrips = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [0, 2, 10];
const rounds = 3;
const port = 8080;

const cluster = await createCluster();
try {
  cluster.project("shop", { mode: "strict" });
  const [client, server] = [
    await cluster.pod({ name: "client", project: "shop" }),
    await cluster.pod({ name: "server", project: "shop" }),
  ];
  const between = join(cluster.makeFolder("between", 0), "distance");
  const source = join(import.meta.dirname, "data-path/apps/distance.c");
  execFileSync(process.env["CC"] ?? "cc", ["-std=c17", "-D_GNU_SOURCE", "-O2", "-o", between, source]);
  await Promise.all([client, server].map((pod) => startInit(pod)));
  const ca = await startCa(cluster);
  cluster.writeDirectory();
  await startProxy(cluster, client, { ca, mode: "strict" });
  const sink = server.nodeCommand("bench/data-path/apps/sink.ts", [`${port}`, server.ip]);
  await server.spawn("sink", sink).event("listening");
  console.log(`Node ${process.version}, load average ${loadavg()[0]!.toFixed(1)}; medians of ${rounds}`);
  for (const roundTrip of roundTrips) {
    const distance = await putBetween(between, [client, server], roundTrip * 500);
    // A session learns of the distance when it is made, so each has a new one.
    const proxy = await startProxy(cluster, server, { ca, mode: "strict" });
    for (const direction of ["down", "up"]) {
      const speed = await medianOf([client, server], direction);
      console.log(`${roundTrip} ms round trip, ${direction}: ${speed.toFixed(0)} MB/s`);
    }
    await proxy.stop("SIGTERM");
    await distance.stop("SIGKILL");
  }
} finally {
  await cluster.close();
}

/** From then on what the two send to one another comes after that time. */
async function putBetween(program: string, [one, other]: readonly [Pod, Pod], microseconds: number): Promise<Child> {
  const spaces = [one, other].map(({ facts }) => `/run/netns/${facts.netns}`);
  const child = one.spawn("distance", [program, ...spaces, `${microseconds}`], { uid: uids.root });
  await child.event("ready");
  for (const [from, to] of [[one, other] as const, [other, one] as const]) {
    await ip(from.facts.netns, "link set away up mtu 65520", `route add ${to.ip}/32 dev away src ${from.ip}`);
  }
  return child;
}

async function medianOf(pods: readonly [Pod, Pod], direction: string): Promise<number> {
  const speeds: number[] = [];
  for (let round = 0; round < rounds; round++) speeds.push(await transfer(pods, direction, 400));
  return median(speeds);
}

async function transfer([client, server]: readonly [Pod, Pod], direction: string, megabytes: number): Promise<number> {
  const args = [direction, server.ip, `${port}`, `${megabytes}`];
  const child = client.spawn("transfer", client.nodeCommand("bench/data-path/apps/transfer.ts", args));
  if (direction === "down") await child.event("started", undefined, { timeoutMs: 30_000 });
  const began = performance.now();
  await child.event("done", undefined, { timeoutMs: 120_000 });
  return megabytes / ((performance.now() - began) / 1_000);
}
