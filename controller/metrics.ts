/** The metrics of the controller: every name, its labels and their bounds. */
import type { MetricDefinition } from "../lib/metrics/definition.ts";
import { Registry } from "../lib/metrics/registry.ts";

export type ControllerMetrics = {
  readonly registry: Registry;
  /** A stream of the directory was opened (1) or closed (-1). */
  watching(change: 1 | -1): void;
  lookedUp(outcome: string): void;
  injection(outcome: string, reason: string): void;
  /** Read at each rendering. */
  follow(read: () => Facts): void;
};

type Facts = {
  readonly certificateEnd: number | null;
  readonly unprotected: ReadonlyMap<string, number>;
  readonly cutServices: number;
};

const second = 1000;

/** docs/metrics.md lists them; a test compares. */
export const controllerMetrics = {
  watching: {
    type: "gauge",
    name: "tencrypt_controller_directory_streams",
    help: "Open streams of the directory.",
    labels: {},
  },
  lookups: {
    type: "counter",
    name: "tencrypt_controller_lookups_total",
    help: "Look-ups of addresses, by what was found.",
    labels: { outcome: 8 },
  },
  injections: {
    type: "counter",
    name: "tencrypt_injection_total",
    help: "Pods that the webhook has seen, by outcome and, where it was not injected, the reason.",
    labels: { outcome: 4, reason: 32 },
  },
  cut: {
    type: "gauge",
    name: "tencrypt_controller_directory_services_cut",
    help: "Services of which proxies are told no ports, because their project has too many and too large ones.",
    labels: {},
  },
  end: {
    type: "gauge",
    name: "tencrypt_controller_certificate_end_timestamp_seconds",
    help: "When the controller's own certificate ends, in seconds since the epoch.",
    labels: {},
  },
  unprotected: {
    type: "gauge",
    name: "tencrypt_unprotected_pods",
    help: "Pods of a project that should be protected and are not.",
    labels: { project: 500 },
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

export function createMetrics(): ControllerMetrics {
  const registry = new Registry();
  const watching = registry.gauge(controllerMetrics.watching).labels({});
  const lookups = registry.counter(controllerMetrics.lookups);
  const injections = registry.counter(controllerMetrics.injections);
  const cut = registry.gauge(controllerMetrics.cut).labels({});
  const end = registry.gauge(controllerMetrics.end).labels({});
  const unprotected = registry.gauge(controllerMetrics.unprotected);
  return {
    registry,
    watching: (change) => watching.add(change),
    lookedUp: (outcome) => lookups.labels({ outcome }).add(),
    injection: (outcome, reason) => injections.labels({ outcome, reason }).add(),
    follow: (read) =>
      registry.onRender(() => {
        const now = read();
        cut.set(now.cutServices);
        if (now.certificateEnd !== null) end.set(now.certificateEnd / second);
        // Projects beyond those that have a name here share a gauge.
        for (const project of now.unprotected.keys()) unprotected.labels({ project }).set(0);
        for (const [project, count] of now.unprotected) unprotected.labels({ project }).add(count);
      }),
  };
}
