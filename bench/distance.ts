/**
 * One bulk stream between two proxies that are some time apart: whether HTTP/2's windows bound it. Something between them holds
 * back what it passes on; it takes part of the two cores, so the first line is the one to compare with.
 * `npm run bench -- distance [round trip in ms ...]`; root
 */
import { loadavg } from "node:os";
import { createCluster } from "../test/topology/cluster.ts";
import { uids } from "../test/topology/enter.ts";
import { startCa, startInit, startProxy } from "../test/topology/programs.ts";
import { median } from "./data-path/report.ts";

const roundTrips = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [0, 2, 10];
const rounds = 3;
const [port, relayPort, tunnelPort] = [8080, 9000, 15_008];

const cluster = await createCluster();
try {
  cluster.project("shop", { mode: "strict" });
  const [client, server] = [
    await cluster.pod({ name: "client", project: "shop" }),
    await cluster.pod({ name: "server", project: "shop" }),
  ];
  const between = await cluster.pod({ name: "between", project: "elsewhere", protected: false });
  await Promise.all([client, server].map((pod) => startInit(pod)));
  const ca = await startCa(cluster);
  // Whoever dials a proxy from an address that the directory names has to be the pod that is there.
  const { workloads } = cluster.directory();
  cluster.writeDirectory(cluster.directory({ workloads: workloads.filter(({ pod }) => pod !== "between") }));
  for (const pod of [client, server]) await startProxy(cluster, pod, { ca, mode: "strict" });
  await server
    .spawn("sink", server.nodeCommand("bench/data-path/apps/sink.ts", [`${port}`, server.ip]))
    .event("listening");
  const toTunnel = `-p tcp -d ${server.ip} --dport ${tunnelPort} -m owner --uid-owner ${uids.proxy}`.split(" ");
  console.log(`Node ${process.version}, load average ${loadavg()[0]!.toFixed(1)}; medians of ${rounds}`);
  for (const [index, roundTrip] of roundTrips.entries()) {
    const listening = relayPort + index;
    const delay = [`${listening}`, server.ip, `${tunnelPort}`, `${roundTrip / 2}`];
    const relay = between.spawn("delay", between.nodeCommand("bench/data-path/apps/delay.ts", delay));
    await relay.event("listening");
    const redirect = [...toTunnel, "-j", "DNAT", "--to-destination", `${between.ip}:${listening}`];
    await client.must("iptables", ["-t", "nat", "-I", "OUTPUT", "1", ...redirect], { uid: uids.root });
    for (const direction of ["down", "up"] as const) {
      console.log(`${roundTrip} ms round trip, ${direction}: ${(await medianOf(direction)).toFixed(0)} MB/s`);
    }
    await client.must("iptables", ["-t", "nat", "-D", "OUTPUT", "1"], { uid: uids.root });
    // The session ends with it, and the next one is dialled through the next.
    await relay.stop("SIGKILL");
  }

  async function medianOf(direction: "down" | "up"): Promise<number> {
    const speeds: number[] = [];
    for (let round = 0; round < rounds; round++) speeds.push(await transfer(direction, 400));
    return median(speeds);
  }

  async function transfer(direction: "down" | "up", megabytes: number): Promise<number> {
    const args = [direction, server.ip, `${port}`, `${megabytes}`];
    const child = client.spawn("transfer", client.nodeCommand("bench/data-path/apps/transfer.ts", args));
    if (direction === "down") await child.event("started", undefined, { timeoutMs: 30_000 });
    const began = performance.now();
    await child.event("done", undefined, { timeoutMs: 120_000 });
    return megabytes / ((performance.now() - began) / 1_000);
  }
} finally {
  await cluster.close();
}
