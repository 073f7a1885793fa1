/** The metrics of the ca: every name, its labels and their bounds. */
import type { Reason } from "../lib/errors/reasons.ts";
import type { MetricDefinition } from "../lib/metrics/definition.ts";
import { Registry } from "../lib/metrics/registry.ts";
import type { GaugeFamily } from "../lib/metrics/registry.ts";

export type AuthorityEnd = {
  readonly authority: "root" | "control-plane" | "project";
  readonly project: string;
  readonly notAfter: number;
};

export type CaMetrics = {
  readonly registry: Registry;
  issued(): void;
  refused(operation: "certificate" | "bundle" | "request", reason: Reason): void;
  cameFromElsewhere(): void;
  /** A stream of bundles was opened (1) or closed (-1). */
  watching(change: 1 | -1): void;
  /** Read at each rendering; the same list of ends is looked at once. */
  follow(read: () => { readonly version: bigint; readonly ends: readonly AuthorityEnd[] }): void;
};

const second = 1000;

/** docs/metrics.md lists them; a test compares. */
export const caMetrics = {
  issued: {
    type: "counter",
    name: "tencrypt_ca_certificates_issued_total",
    help: "Certificates issued to pods and the controller.",
    labels: {},
  },
  refused: {
    type: "counter",
    name: "tencrypt_ca_refusals_total",
    help: "Calls refused, by what was asked for and the reason code.",
    labels: { operation: 3, reason: 64 },
  },
  elsewhere: {
    type: "counter",
    name: "tencrypt_ca_source_mismatches_total",
    help: "Callers that came from another address than their pod's, refused or not.",
    labels: {},
  },
  watching: {
    type: "gauge",
    name: "tencrypt_ca_bundle_streams",
    help: "Open streams of the trust bundle.",
    labels: {},
  },
  version: { type: "gauge", name: "tencrypt_ca_bundle_version", help: "Version of the trust bundle.", labels: {} },
  end: {
    type: "gauge",
    name: "tencrypt_ca_authority_end_timestamp_seconds",
    help: "When an authority's certificate ends, in seconds since the epoch; project is empty for root and control-plane.",
    labels: { authority: 3, project: 500 },
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

/** The first to end come first, behind those that are no project's: what is beyond the bound shares a gauge. */
const inOrder = (ends: readonly AuthorityEnd[]): readonly AuthorityEnd[] => [
  ...ends.filter(({ authority }) => authority !== "project"),
  ...ends.filter(({ authority }) => authority === "project").toSorted((one, other) => one.notAfter - other.notAfter),
];

function show(ends: readonly AuthorityEnd[], family: GaugeFamily<"authority" | "project">): void {
  family.clear();
  const gauges = inOrder(ends).map(({ authority, project, notAfter }) => ({
    gauge: family.labels({ authority, project }),
    notAfter,
  }));
  // A gauge that is shared shows the first to end.
  for (const { gauge, notAfter } of gauges.toReversed()) gauge.set(notAfter / second);
}

export function createMetrics(): CaMetrics {
  const registry = new Registry();
  const issued = registry.counter(caMetrics.issued).labels({});
  const refused = registry.counter(caMetrics.refused);
  const elsewhere = registry.counter(caMetrics.elsewhere).labels({});
  const watching = registry.gauge(caMetrics.watching).labels({});
  const version = registry.gauge(caMetrics.version).labels({});
  const end = registry.gauge(caMetrics.end);
  let shown: readonly AuthorityEnd[] | null = null;
  return {
    registry,
    issued: () => issued.add(),
    refused: (operation, reason) => refused.labels({ operation, reason }).add(),
    cameFromElsewhere: () => elsewhere.add(),
    watching: (change) => watching.add(change),
    follow: (read) =>
      registry.onRender(() => {
        const now = read();
        version.set(Number(now.version));
        if (now.ends !== shown) show(now.ends, end);
        shown = now.ends;
      }),
  };
}
