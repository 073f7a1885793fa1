/** The load in the client's pod, and the proxies' CPU time around it. */
import { join } from "node:path";
import type { Child, Cluster } from "../../test/topology/cluster.ts";
import type { Contender } from "./contenders.ts";
import { urlOf } from "./contenders.ts";
import { cpuMs } from "./process.ts";
import { applicationPort } from "./rivals.ts";

export type HopCpu = { readonly outbound: number; readonly inbound: number };

export type Load = {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly errors: number;
  /** Milliseconds of CPU in all. */
  readonly cpu: HopCpu;
};

export type LoadOptions = {
  readonly connections: number;
  readonly seconds: number;
  /** Every request on a connection of its own. */
  readonly close?: boolean;
};

/** `done` runs once at the end; no other hook is set, so wrk calls no Lua while it loads. */
const script = `done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"micros":%d,"p50":%d,"p99":%d,"errors":%d}\\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
`;

export function writeScript(cluster: Cluster): string {
  const file = join(cluster.makeFolder("load", 0), "figures.lua");
  cluster.writeFile(file, script, 0o444);
  return file;
}

/** CPU time that both hops use while `work` runs. */
export async function whileMeasured<T>(
  { pids }: Contender,
  work: () => Promise<T>,
): Promise<{ readonly cpu: HopCpu; readonly result: T }> {
  const before = { outbound: cpuMs(pids.client), inbound: cpuMs(pids.server) };
  const result = await work();
  const cpu = { outbound: cpuMs(pids.client) - before.outbound, inbound: cpuMs(pids.server) - before.inbound };
  return { cpu, result };
}

export async function load(contender: Contender, file: string, options: LoadOptions): Promise<Load> {
  const { client, server } = contender.pods;
  const { connections, seconds, close = false } = options;
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--timeout", "10s", "-s", file];
  const header = close ? ["-H", "connection: close"] : [];
  const { cpu, result } = await whileMeasured(contender, () =>
    client.must("wrk", [...args, ...header, urlOf(server, "small")], { timeoutMs: seconds * 1000 + 30_000 }),
  );
  const line = result.split("\n").findLast((each) => each.startsWith("{")) ?? "{}";
  const figures = JSON.parse(line) as Record<"requests" | "micros" | "p50" | "p99" | "errors", number>;
  return {
    requests: figures.requests,
    perSecond: figures.requests / (figures.micros / 1e6),
    p50Ms: figures.p50 / 1000,
    p99Ms: figures.p99 / 1000,
    errors: figures.errors,
    cpu,
  };
}

export type Transfer = {
  readonly direction: "down" | "up";
  /** 0: until the child is stopped. */
  readonly megabytes: number;
  /** Of what comes down; as fast as it goes where nothing is said. */
  readonly megabytesPerSecond?: number;
};

/** Moves bytes one way over one connection. */
export function startTransfer({ pods }: Contender, { direction, megabytes, megabytesPerSecond }: Transfer): Child {
  const pace = megabytesPerSecond === undefined ? [] : [`${megabytesPerSecond}`];
  const args = [direction, pods.server.ip, `${applicationPort}`, `${megabytes}`, ...pace];
  return pods.client.spawn("transfer", pods.client.nodeCommand("bench/data-path/apps/transfer.ts", args));
}

/** Returns once that many connections are open and idle. */
export async function hold({ pods }: Contender, count: number): Promise<Child> {
  const args = [pods.server.ip, `${applicationPort}`, `${count}`];
  const child = pods.client.spawn("hold", pods.client.nodeCommand("bench/data-path/apps/hold.ts", args));
  await child.event("holding");
  return child;
}

/** Settings of the kernel for both pods. */
export async function setSysctls({ pods }: Contender, settings: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries(settings).map(([name, value]) => `echo "${value}" > /proc/sys/net/ipv4/${name}`);
  for (const pod of [pods.client, pods.server]) await pod.must("sh", ["-ec", lines.join("\n")], { uid: 0 });
}
