/**
 * What the process is and uses, read only when somebody scrapes: no timer and no histogram run in between.
 */
import { readdirSync } from "node:fs";
import { followBusyShare } from "../../lib/clock/busy-share.ts";
import type { Registry } from "../../lib/metrics/registry.ts";
import { proxyMetrics } from "./metric-names.ts";

export type ProcessFacts = {
  readonly version: string;
  readonly startedAt: number;
  readonly droppedLogLines: () => number;
};

export function registerProcessMetrics(registry: Registry, facts: ProcessFacts): void {
  registry.gauge(proxyMetrics.build).labels({ version: facts.version, runtime: process.versions.node }).set(1);
  registry
    .gauge(proxyMetrics.startTime)
    .labels({})
    .set(facts.startedAt / 1_000);
  const memory = registry.gauge(proxyMetrics.residentMemory).labels({});
  const files = registry.gauge(proxyMetrics.openFiles).labels({});
  const utilization = registry.gauge(proxyMetrics.eventLoopUtilization).labels({});
  const cpu = follow(registry.counter(proxyMetrics.cpuSeconds).labels({}));
  const lines = follow(registry.counter(proxyMetrics.logLinesDropped).labels({}));
  const busyShare = followBusyShare();
  registry.onRender(() => {
    utilization.set(busyShare());
    memory.set(process.memoryUsage.rss());
    files.set(countOpenFiles());
    const { user, system } = process.cpuUsage();
    cpu((user + system) / 1_000_000);
    lines(facts.droppedLogLines());
  });
}

/** Brings a counter up to a total that is counted elsewhere. */
function follow(counter: { add(amount: number): void }): (total: number) => void {
  let seen = 0;
  return (total) => {
    counter.add(total - seen);
    seen = total;
  };
}

function countOpenFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return Number.NaN;
  }
}
