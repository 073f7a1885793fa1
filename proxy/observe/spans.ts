/**
 * Spans of sampled connections and of refusals, in batches to an OTLP collector.
 *
 * The only file that loads the tracing SDK; it is imported dynamically, and only when an endpoint is set. Ids and times
 * are those of the record, so spans are built by hand and handed to the SDK's batch processor. A collector that is
 * dead, slow or hostile costs dropped spans, each counted under its cause, and nothing else: the queue, the batches
 * under way and their time are bounded.
 */
import { SpanKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import type { HrTime, SpanContext } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import type { Log } from "../../lib/log/log.ts";
import { events } from "./events.ts";
import type { ConnectionRecord } from "./events.ts";
import type { SpanLoss } from "./metrics.ts";
import { SpanAgent } from "./span-connection.ts";
import type { Connect } from "./span-connection.ts";
import { connectionSpan, sessionRefusalSpan } from "./span-model.ts";
import type { OwnFacts, SpanModel } from "./span-model.ts";
import { all, subscribe } from "./subscription.ts";
import { startTrace } from "./trace-context.ts";
import type { TraceIds } from "./trace-context.ts";
import type { TracingSettings } from "./tracing-settings.ts";

export type SpanFacts = OwnFacts & { readonly podName: string; readonly podUid: string; readonly version: string };

export type SpanOptions = {
  readonly settings: TracingSettings;
  readonly facts: SpanFacts;
  readonly ids: TraceIds;
  readonly clock: Clock;
  readonly log: Log;
  readonly connect: Connect;
  readonly exported: (count: number) => void;
  readonly dropped: (cause: SpanLoss, count: number) => void;
  readonly failed: () => void;
};

/** Refused handshakes cost the caller nothing; their spans must not push out those of connections. */
const refusalSpansPerSecond = 20;
const stopDeadlineMs = 2_000;
const scope = "tencrypt";

/** Resolves `stop` within 2 s whatever the collector does. */
export function startSpans(options: SpanOptions): { stop(): Promise<void> } {
  const queue = new SpanQueue(options);
  const { facts, failed } = options;
  const resource = resourceFromAttributes(resourceAttributes(options));
  const take = (model: SpanModel): void => queue.take(toReadableSpan(model, resource, facts.version));
  const dryRuns = new WeakMap<ConnectionRecord, Reason>();
  const refusals = perSecond(options.clock, refusalSpansPerSecond);

  const unsubscribe = all([
    subscribe(
      events.connectionRefused,
      ({ record, reason, dryRun }) => void (dryRun && dryRuns.set(record, reason)),
      failed,
    ),
    subscribe(
      events.connectionClosed,
      (record) => {
        if (record.trace?.sampled === true)
          take(connectionSpan(facts, record, record.trace, dryRuns.get(record) ?? null));
      },
      failed,
    ),
    subscribe(
      events.sessionRefused,
      (event) => {
        const trace = startTrace(options.settings.sampling, options.ids);
        if (!trace.sampled) return;
        if (refusals()) take(sessionRefusalSpan(facts, event, trace, options.clock.now()));
        else options.dropped("too_many_refusals", 1);
      },
      failed,
    ),
  ]);
  return {
    stop: () => {
      unsubscribe();
      return queue.stop();
    },
  };
}

/** True for the first `limit` calls of each second. */
function perSecond(clock: Clock, limit: number): () => boolean {
  let windowStart = -Infinity;
  let taken = 0;
  return () => {
    const now = clock.monotonic();
    if (now - windowStart >= 1_000) {
      windowStart = now;
      taken = 0;
    }
    return ++taken <= limit;
  };
}

/** The SDK's processor and exporter, with every lost span counted: the SDK itself only logs that it lost some. */
class SpanQueue {
  readonly #options: SpanOptions;
  readonly #agent: SpanAgent;
  readonly #processor: BatchSpanProcessor;
  /** Spans that the processor holds; it lets go of them only by calling `export`. */
  #queued = 0;
  #exporting = 0;
  #stopped = false;
  #warnedAt = -Infinity;

  constructor(options: SpanOptions) {
    this.#options = options;
    const { settings, connect, clock } = options;
    const { url, certificateFile, timeoutMs } = settings;
    this.#agent = new SpanAgent({ url, certificateFile, connect, clock, deadlineMs: timeoutMs });
    this.#processor = new BatchSpanProcessor({
      exporter: this.#counting(createExporter(settings, this.#agent)),
      maxQueueSize: settings.queueSize,
      maxExportBatchSize: settings.batchSize,
      scheduledDelayMillis: settings.delayMs,
      exportTimeoutMillis: settings.timeoutMs + 1_000,
    });
  }

  take(span: ReadableSpan): void {
    if (this.#stopped) return;
    if (this.#queued >= this.#options.settings.queueSize) {
      this.#lose("queue_full", 1, null);
      return;
    }
    this.#queued++;
    this.#processor.onEnd(span);
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    const flushed = this.#processor.shutdown().catch(() => {});
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(stopDeadlineMs, resolve);
      void flushed.then(() => {
        timer.cancel();
        resolve();
      });
    });
    this.#stopped = true;
    const left = this.#queued + this.#exporting;
    if (left > 0) this.#options.dropped("shutdown", left);
    this.#agent.destroy();
  }

  #counting(inner: SpanExporter): SpanExporter {
    return {
      export: (spans, done) => {
        this.#queued -= spans.length;
        this.#exporting += spans.length;
        inner.export(spans, (result) => {
          this.#exporting -= spans.length;
          if (!this.#stopped)
            this.#ended(spans.length, result.code === 0 ? null : (result.error ?? new Error("export failed")));
          done(result);
        });
      },
      shutdown: () => inner.shutdown(),
    };
  }

  #ended(count: number, error: Error | null): void {
    if (error === null) this.#options.exported(count);
    else this.#lose("export_failed", count, error);
  }

  /** One line a minute: a collector that is away for a night must not fill the log. */
  #lose(cause: SpanLoss, count: number, error: Error | null): void {
    this.#options.dropped(cause, count);
    const now = this.#options.clock.monotonic();
    if (now - this.#warnedAt < 60_000) return;
    this.#warnedAt = now;
    this.#options.log("warn", "spans_dropped", {
      cause,
      count,
      error: error?.message ?? null,
      hint: "traffic is not affected; check the collector",
    });
  }
}

/** As many at once as the queue holds batches, so that a shutdown can send them all. */
const createExporter = (settings: TracingSettings, agent: SpanAgent): SpanExporter =>
  new OTLPTraceExporter({
    url: settings.url,
    headers: { ...settings.headers() },
    timeoutMillis: settings.timeoutMs,
    concurrencyLimit: Math.ceil(settings.queueSize / settings.batchSize) + 1,
    compression: settings.compression as never,
    httpAgentOptions: () => agent,
  });

function resourceAttributes({ settings, facts }: SpanOptions): Record<string, string> {
  return {
    "service.name": settings.serviceName ?? settings.resourceAttributes["service.name"] ?? "tencrypt-proxy",
    "service.version": facts.version,
    "k8s.namespace.name": facts.project,
    "k8s.pod.name": facts.podName,
    "k8s.pod.uid": facts.podUid,
    ...without(settings.resourceAttributes, "service.name"),
  };
}

const without = (record: Readonly<Record<string, string>>, name: string): Record<string, string> =>
  Object.fromEntries(Object.entries(record).filter(([key]) => key !== name));

function toReadableSpan(model: SpanModel, resource: ReadableSpan["resource"], version: string): ReadableSpan {
  const { traceId, spanId, parentSpanId } = model.trace;
  const context: SpanContext = { traceId, spanId, traceFlags: TraceFlags.SAMPLED };
  const startTime = hrTime(model.startedAt);
  const endTime = hrTime(Math.max(model.startedAt, model.endedAt));
  return {
    name: model.name,
    kind: model.kind === "client" ? SpanKind.CLIENT : SpanKind.SERVER,
    spanContext: () => context,
    ...(parentSpanId === null
      ? {}
      : { parentSpanContext: { traceId, spanId: parentSpanId, traceFlags: TraceFlags.SAMPLED, isRemote: true } }),
    startTime,
    endTime,
    duration: hrTime(Math.max(0, model.endedAt - model.startedAt)),
    status:
      model.failure === null ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: model.failure },
    attributes: model.attributes,
    links: [],
    events: [],
    ended: true,
    resource,
    instrumentationScope: { name: scope, version },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * 1_000_000)];
}
