/**
 * Starts what is to be observed: metrics always, refusals in the log always, allowed connections and spans by setting.
 * What is off subscribes to nothing and loads nothing.
 */
import { randomFillSync } from "node:crypto";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Log } from "../../lib/log/log.ts";
import type { Registry } from "../../lib/metrics/registry.ts";
import { startAccessLog } from "./access-log.ts";
import type { AccessLogOptions } from "./access-log.ts";
import { createProxyMetrics } from "./metrics.ts";
import type { ProxyMetrics } from "./metrics.ts";
import { registerProcessMetrics } from "./process-metrics.ts";
import type { Connect } from "./span-connection.ts";
import { createTraceIds } from "./trace-context.ts";
import type { TracingSettings } from "./tracing-settings.ts";

export type ObserveSettings = {
  /** Null while tracing is off. */
  readonly tracing: TracingSettings | null;
  readonly connections: AccessLogOptions["connections"];
};

export type ObserveFacts = {
  readonly identity: string;
  readonly project: string;
  readonly podName: string;
  readonly podUid: string;
  readonly version: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
};

export type ObserveOptions = {
  readonly settings: ObserveSettings;
  readonly facts: ObserveFacts;
  readonly log: Log;
  readonly clock: Clock;
  readonly registry: Registry;
  /** Lines that the log's writer lost so far. */
  readonly droppedLogLines: () => number;
  /** The proxy's own outbound route, for the spans. */
  readonly connect: Connect;
};

export type Observing = {
  readonly metrics: ProxyMetrics;
  /** Writes what waits; resolves within 2 s. */
  stop(): Promise<void>;
};

export async function startObserving(options: ObserveOptions): Promise<Observing> {
  const { settings, facts, log, clock, registry } = options;
  const metrics = createProxyMetrics(registry);
  registerProcessMetrics(registry, {
    version: facts.version,
    startedAt: facts.startedAt,
    droppedLogLines: options.droppedLogLines,
  });
  const stopMetrics = metrics.subscribe();
  const stopLog = startAccessLog({
    log,
    clock,
    connections: settings.connections,
    project: facts.project,
    failed: () => metrics.observerFailed("access_log"),
  });
  const spans = settings.tracing === null ? null : await startTracing(options, settings.tracing, metrics);
  return {
    metrics,
    stop: async () => {
      stopLog();
      await spans?.stop();
      stopMetrics();
    },
  };
}

async function startTracing(
  options: ObserveOptions,
  settings: TracingSettings,
  metrics: ProxyMetrics,
): Promise<{ stop(): Promise<void> }> {
  // The SDK costs 15 MB: it is loaded only here.
  const { startSpans } = await import("./spans.ts");
  return startSpans({
    settings,
    ids: createTraceIds((bytes) => randomFillSync(bytes)),
    facts: options.facts,
    clock: options.clock,
    log: options.log,
    connect: options.connect,
    exported: (count) => metrics.spansExported(count),
    dropped: (cause, count) => metrics.spansDropped(cause, count),
    failed: () => metrics.observerFailed("spans"),
  });
}
