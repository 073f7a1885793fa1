/**
 * Starts what is to be observed: metrics always, refusals in the log always, allowed connections and spans by setting.
 * What is off subscribes to nothing and loads nothing.
 */
import { randomFillSync } from "node:crypto";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Log } from "../../lib/log/log.ts";
import type { Registry } from "../../lib/metrics/registry.ts";
import { startAccessLog } from "./access-log.ts";
import type { TraceContext } from "./events.ts";
import { createProxyMetrics } from "./metrics.ts";
import type { ProxyMetrics } from "./metrics.ts";
import { registerProcessMetrics } from "./process-metrics.ts";
import type { Connect } from "./span-connection.ts";
import { continueTrace, createTraceIds, never, startTrace } from "./trace-context.ts";
import type { TraceIds } from "./trace-context.ts";
import type { TracingSettings } from "./tracing-settings.ts";

export type ObserveSettings = {
  /** Null while tracing is off. */
  readonly tracing: TracingSettings | null;
  readonly connections: "refused" | "all";
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
  /** The proxy's own outbound route, for the spans; its connections carry `Tracing.silent()` or no trace at all. */
  readonly connect: Connect;
  /** For tests. */
  readonly ids?: TraceIds;
};

/** Trace contexts for the data path; null in place of it means that nobody traces. */
export type Tracing = {
  /** A connection that nobody spoke of yet (outbound). */
  start(): TraceContext;
  /** A connection that came with a `traceparent`, or without one (inbound). */
  continue(traceparent: string | undefined): TraceContext;
  /** For telemetry's own connections: tells the far proxy, too, to make no span. */
  silent(): TraceContext;
};

export type Observing = {
  readonly tracing: Tracing | null;
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
  const { connections } = settings;
  const stopLog = startAccessLog({
    log,
    clock,
    connections,
    project: facts.project,
    failed: () => metrics.observerFailed("access_log"),
  });
  const ids = options.ids ?? createTraceIds((bytes) => randomFillSync(bytes));
  const spans = settings.tracing === null ? null : await startTracing(options, settings.tracing, { metrics, ids });
  return {
    tracing: settings.tracing === null ? null : createTracing(settings.tracing, ids),
    metrics,
    stop: async () => {
      stopLog();
      await spans?.stop();
      stopMetrics();
    },
  };
}

const createTracing = ({ sampling }: TracingSettings, ids: TraceIds): Tracing => ({
  start: () => startTrace(sampling, ids),
  continue: (traceparent) => continueTrace(traceparent, sampling, ids),
  silent: () => startTrace(never, ids),
});

async function startTracing(
  options: ObserveOptions,
  settings: TracingSettings,
  { metrics, ids }: { metrics: ProxyMetrics; ids: TraceIds },
): Promise<{ stop(): Promise<void> }> {
  // The SDK costs 15 MB: it is loaded only here.
  const { startSpans } = await import("./spans.ts");
  return startSpans({
    settings,
    ids,
    facts: options.facts,
    clock: options.clock,
    log: options.log,
    connect: options.connect,
    exported: (count) => metrics.spansExported(count),
    dropped: (cause, count) => metrics.spansDropped(cause, count),
    failed: () => metrics.observerFailed("spans"),
  });
}
