/** What is measured, one scenario at a time: each gives named figures of one contender. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Arguments, ScenarioName } from "./arguments.ts";
import type { Contender } from "./contenders.ts";
import { hold, load, setSysctls, startTransfer, whileMeasured } from "./load.ts";
import type { HopCpu, Load, LoadOptions, Transfer } from "./load.ts";
import { memoryOf } from "./process.ts";

/** By name; the names carry their unit. */
export type Figures = Readonly<Record<string, number>>;
export type Setting = { readonly args: Arguments; readonly script: string };

type Scenario = {
  readonly what: string;
  /** False: one round, whatever the number asked for. */
  readonly repeated: boolean;
  readonly run: (contender: Contender, setting: Setting) => Promise<Figures>;
};

/** What a pod has unless somebody sets it. */
const defaultSysctls = { tcp_tw_reuse: "2", ip_local_port_range: "32768 60999" };
/** Source ports as many as there are, and used again after a second: what is measured is then the proxy. */
const wideSysctls = { tcp_tw_reuse: "1", ip_local_port_range: "20000 65535" };
const idleConnections = 1000;
/** A proxy that has nothing to do gives memory back within two minutes. */
export const restMs = 125_000;

const perUnit = ({ outbound, inbound }: HopCpu, units: number, unit: string): Figures => ({
  [`outbound ${unit}`]: outbound / units,
  [`inbound ${unit}`]: inbound / units,
  [`mean ${unit}`]: (outbound + inbound) / 2 / units,
});

async function measureLoad(contender: Contender, { script }: Setting, options: LoadOptions): Promise<Figures> {
  const { requests, perSecond, p50Ms, p99Ms, errors, cpu } = await load(contender, script, options);
  return { ...perUnit(cpu, requests / 1000, "us"), "per s": perSecond, "p50 ms": p50Ms, "p99 ms": p99Ms, errors };
}

const keepalive = (connections: number): Scenario => ({
  what: `${connections} keep-alive connection${connections === 1 ? "" : "s"}, 1 KB answers: CPU per request and hop`,
  repeated: true,
  async run(contender, setting) {
    await load(contender, setting.script, { connections, seconds: 1 });
    return measureLoad(contender, setting, { connections, seconds: setting.args.seconds });
  },
});

const connections = (what: string, sysctls: Readonly<Record<string, string>>, seconds: number | null): Scenario => ({
  what: `every request on a new connection, 32 at a time, ${what}: CPU per connection and hop`,
  repeated: seconds === null,
  async run(contender, setting) {
    await setSysctls(contender, sysctls);
    const options = { connections: 32, seconds: seconds ?? setting.args.seconds, close: true };
    const figures = await measureLoad(contender, setting, options);
    await setSysctls(contender, defaultSysctls);
    return figures;
  },
});

const bulk = (direction: "down" | "up"): Scenario => ({
  what: `one stream ${direction}: CPU per 100 MB and hop`,
  repeated: true,
  async run(contender, { args: { megabytes } }) {
    await startTransfer(contender, { direction, megabytes: 50 }).event("done");
    const start = performance.now();
    const { cpu } = await whileMeasured(contender, () =>
      startTransfer(contender, { direction, megabytes }).event("done", undefined, { timeoutMs: 120_000 }),
    );
    const seconds = (performance.now() - start) / 1000;
    return { ...perUnit(cpu, megabytes / 100, "ms"), "MB/s": megabytes / seconds };
  },
});

/** Leaves the cores some time of their own, MB/s. */
const slowBulk = 50;

const besideBulk: Scenario = {
  what: `4 keep-alive connections beside one bulk stream down: as fast as it goes, and at ${slowBulk} MB/s`,
  repeated: true,
  async run(contender, setting) {
    const options = { connections: 4, seconds: setting.args.seconds };
    const alone = await load(contender, setting.script, options);
    const beside = async (pace: Partial<Transfer>): Promise<Load> => {
      const stream = startTransfer(contender, { direction: "down", megabytes: 0, ...pace });
      await stream.event("started");
      const loaded = await load(contender, setting.script, options);
      await stream.stop("SIGKILL");
      return loaded;
    };
    const [fast, slow] = [await beside({}), await beside({ megabytesPerSecond: slowBulk })];
    return {
      "alone p50 ms": alone.p50Ms,
      "alone p99 ms": alone.p99Ms,
      "p50 ms": fast.p50Ms,
      "p99 ms": fast.p99Ms,
      "p99 x": fast.p99Ms / alone.p99Ms,
      "slow p50 ms": slow.p50Ms,
      "slow p99 ms": slow.p99Ms,
      "slow p99 x": slow.p99Ms / alone.p99Ms,
      errors: alone.errors + fast.errors + slow.errors,
    };
  },
};

const mb = (kilobytes: number): number => kilobytes / 1000;

/** Both hops; what the idle connections cost is of each. */
const memory: Scenario = {
  what: `memory of an idle proxy, of each of the first ${idleConnections} idle connections, and of each after them`,
  repeated: false,
  async run(contender) {
    const { client, server } = contender.pids;
    const settled = async (): Promise<Record<"outbound" | "inbound", ReturnType<typeof memoryOf>>> => {
      await sleep(contender.isOurs ? restMs : 2_000);
      return { outbound: memoryOf(client), inbound: memoryOf(server) };
    };
    const idle = await settled();
    const held = await hold(contender, idleConnections);
    const busy = await settled();
    // The first ones also pay for what a process allocates once: compiled code, a heap that grows in steps.
    const more = await hold(contender, idleConnections);
    const busier = await settled();
    await held.stop("SIGKILL");
    await more.stop("SIGKILL");
    const each = (from: typeof idle, to: typeof idle, hop: "outbound" | "inbound"): number =>
      (to[hop].anonymous - from[hop].anonymous) / idleConnections;
    return {
      "outbound RSS MB": mb(idle.outbound.rss),
      "anonymous MB": mb(idle.outbound.anonymous),
      "file MB": mb(idle.outbound.file),
      "PSS MB": mb(idle.outbound.proportional),
      "inbound RSS MB": mb(idle.inbound.rss),
      "outbound first KB/conn": each(idle, busy, "outbound"),
      "inbound first KB/conn": each(idle, busy, "inbound"),
      "outbound KB/conn": each(busy, busier, "outbound"),
      "inbound KB/conn": each(busy, busier, "inbound"),
    };
  },
};

export const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  memory,
  "keepalive-1": keepalive(1),
  "keepalive-32": keepalive(32),
  "connections-default": connections("default sysctls, 20 s", defaultSysctls, 20),
  connections: connections("tcp_tw_reuse=1, ports 20000-65535", wideSysctls, null),
  "bulk-down": bulk("down"),
  "bulk-up": bulk("up"),
  "beside-bulk": besideBulk,
};

/** Of both hops now. */
export function memoryNow({ pids }: Contender): Figures {
  const [outbound, inbound] = [memoryOf(pids.client), memoryOf(pids.server)];
  return {
    "outbound RSS MB": mb(outbound.rss),
    "outbound anonymous MB": mb(outbound.anonymous),
    "outbound PSS MB": mb(outbound.proportional),
    "inbound RSS MB": mb(inbound.rss),
    "inbound anonymous MB": mb(inbound.anonymous),
    "inbound PSS MB": mb(inbound.proportional),
  };
}
