/**
 * The standard `OTEL_...` variables that the proxy honours. Without an endpoint tracing is off and nothing of it is
 * loaded. Header values may be credentials: they are in no problem text and in no printed configuration. Pure.
 */
import type { Settings } from "../../lib/config/settings.ts";
import type { Sampling } from "./trace-context.ts";

export type TracingSettings = {
  readonly url: string;
  /** A function, so that printing the settings shows no credential. */
  readonly headers: () => Readonly<Record<string, string>>;
  /** PEM of the roots for an https collector, else the system's. */
  readonly certificateFile: string | null;
  readonly compression: "none" | "gzip";
  readonly sampling: Sampling;
  readonly serviceName: string | null;
  readonly resourceAttributes: Readonly<Record<string, string>>;
  readonly queueSize: number;
  readonly batchSize: number;
  readonly delayMs: number;
  readonly timeoutMs: number;
};

const samplers = {
  always_on: (_ratio: number): Sampling => ({ ratio: 1, followParent: false }),
  always_off: (_ratio: number): Sampling => ({ ratio: 0, followParent: false }),
  traceidratio: (ratio: number): Sampling => ({ ratio, followParent: false }),
  parentbased_always_on: (_ratio: number): Sampling => ({ ratio: 1, followParent: true }),
  parentbased_always_off: (_ratio: number): Sampling => ({ ratio: 0, followParent: true }),
  parentbased_traceidratio: (ratio: number): Sampling => ({ ratio, followParent: true }),
} as const;
const samplerNames = Object.keys(samplers) as (keyof typeof samplers)[];

/** Null while tracing is off. Problems go to `settings`. */
export function readTracingSettings(settings: Settings): TracingSettings | null | undefined {
  const url = readUrl(settings);
  const off =
    settings.choice("OTEL_SDK_DISABLED", ["true", "false"], "false") === "true" ||
    settings.choice("OTEL_TRACES_EXPORTER", ["otlp", "none"], "otlp") === "none";
  const protocol = "OTEL_EXPORTER_OTLP_PROTOCOL";
  for (const name of [protocol, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"])
    settings.choice(name, ["http/protobuf"], "http/protobuf");
  const batch = readBatch(settings);
  const rest = {
    headers: readHeaders(settings),
    certificateFile:
      settings.optional("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE") ?? settings.optional("OTEL_EXPORTER_OTLP_CERTIFICATE"),
    compression: settings.choice("OTEL_EXPORTER_OTLP_COMPRESSION", ["none", "gzip"], "none"),
    sampling: readSampling(settings),
    serviceName: settings.optional("OTEL_SERVICE_NAME"),
    resourceAttributes: readPairs(settings, "OTEL_RESOURCE_ATTRIBUTES"),
  };
  return url === null || off ? null : settings.whole({ url, ...rest, ...batch });
}

function readSampling(settings: Settings): Sampling | undefined {
  const sampler = settings.choice("OTEL_TRACES_SAMPLER", samplerNames, "parentbased_always_on");
  const ratio = settings.read("OTEL_TRACES_SAMPLER_ARG", 1, "a ratio from 0 to 1", (text) => {
    const value = /^[0-9]{1,3}(?:\.[0-9]{1,12})?$/.test(text) ? Number(text) : 2;
    return value <= 1 ? value : null;
  });
  return sampler === undefined || ratio === undefined ? undefined : samplers[sampler](ratio);
}

function readBatch(settings: Settings) {
  const queueSize = settings.integer("OTEL_BSP_MAX_QUEUE_SIZE", { min: 1, max: 65_536 }, 2_048);
  const usual = Math.min(512, queueSize === undefined ? 512 : queueSize);
  const batchSize = settings.integer("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", { min: 1, max: 65_536 }, usual);
  if (batchSize !== undefined && queueSize !== undefined && batchSize > queueSize)
    settings.problem("OTEL_BSP_MAX_EXPORT_BATCH_SIZE is larger than OTEL_BSP_MAX_QUEUE_SIZE");
  return {
    queueSize,
    batchSize,
    delayMs: settings.integer("OTEL_BSP_SCHEDULE_DELAY", { min: 1, max: 600_000 }, 5_000),
    timeoutMs: settings.integer("OTEL_EXPORTER_OTLP_TIMEOUT", { min: 100, max: 60_000 }, 4_000),
  };
}

/** The endpoint for traces as it is, or the common one with `/v1/traces` after it. */
function readUrl(settings: Settings): string | null {
  const common = readEndpoint(settings, "OTEL_EXPORTER_OTLP_ENDPOINT");
  const traces = readEndpoint(settings, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
  if (traces !== null) return traces.href;
  if (common === null) return null;
  common.pathname = `${common.pathname.replace(/\/$/, "")}/v1/traces`;
  return common.href;
}

function readEndpoint(settings: Settings, name: string): URL | null {
  const text = settings.optional(name);
  if (text === null) return null;
  const url = URL.parse(text);
  if (url !== null && isAddressOnly(url)) return url;
  // The text is not repeated: it may hold a password.
  settings.problem(`${name} is no usable address: expected http:// or https:// without user, password and query`);
  return null;
}

/** The address is logged with the settings, so it must not carry a secret: those belong in the headers. */
const isAddressOnly = (url: URL): boolean =>
  /^https?:$/.test(url.protocol) && [url.username, url.password, url.search, url.hash].every((part) => part === "");

function readHeaders(settings: Settings): () => Readonly<Record<string, string>> {
  const headers = {
    ...readPairs(settings, "OTEL_EXPORTER_OTLP_HEADERS"),
    ...readPairs(settings, "OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
  };
  return () => headers;
}

/** `key=value,key=value`, values percent-encoded (W3C Baggage). */
function readPairs(settings: Settings, name: string): Record<string, string> {
  const pairs: [string, string][] = [];
  for (const part of (settings.optional(name) ?? "").split(",")) {
    if (part.trim() === "") continue;
    const equals = part.indexOf("=");
    const key = part.slice(0, Math.max(0, equals)).trim();
    const value = decode(part.slice(equals + 1).trim());
    if (/^[\w.!#$%&'*+^`|~/-]{1,256}$/.test(key) && value !== null) pairs.push([key, value]);
    else settings.problem(`${name} is malformed: expected key=value,key=value with percent-encoded values`);
  }
  return Object.fromEntries(pairs);
}

function decode(text: string): string | null {
  try {
    const value = decodeURIComponent(text);
    // oxlint-disable-next-line no-control-regex -- a value with a line feed would forge a header
    return /[\u0000-\u001f\u007f]/.test(value) ? null : value;
  } catch {
    return null;
  }
}
