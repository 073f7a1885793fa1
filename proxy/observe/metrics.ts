/**
 * Counts what the data path publishes. All children of a (direction, transport, class) are bound at its first
 * connection, so an event costs a map look-up and a few additions.
 */
import type { Counter, Gauge, Histogram, Registry } from "../../lib/metrics/registry.ts";
import { events } from "./events.ts";
import type {
  ConnectionRecord,
  ReauthenticationEvent,
  RefusalEvent,
  SessionEvent,
  SessionRefusalEvent,
} from "./events.ts";
import { proxyMetrics } from "./metric-names.ts";
import { all, subscribe } from "./subscription.ts";
import type { Unsubscribe } from "./subscription.ts";

/** Why a span was lost. */
export type SpanLoss = "queue_full" | "export_failed" | "too_many_refusals" | "shutdown";

export type ProxyMetrics = {
  subscribe(): Unsubscribe;
  /** Milliseconds since the epoch. */
  certificateNotAfter(at: number): void;
  directoryVersion(version: number): void;
  bundleVersion(version: bigint): void;
  spansExported(count: number): void;
  spansDropped(cause: SpanLoss, count: number): void;
  observerFailed(observer: "metrics" | "access_log" | "spans"): void;
};

type Children = {
  readonly opened: Counter;
  readonly openSeconds: Histogram;
  readonly durationSeconds: Histogram;
  readonly bytesSent: Counter;
  readonly bytesReceived: Counter;
};

export function createProxyMetrics(registry: Registry): ProxyMetrics {
  const observerErrors = registry.counter(proxyMetrics.observerErrors);
  const observerFailed = (observer: "metrics" | "access_log" | "spans"): void =>
    observerErrors.labels({ observer }).add();
  const failed = (): void => observerFailed("metrics");
  const connections = connectionCounters(registry);
  const sessions = sessionCounters(registry);
  return {
    ...stateGauges(registry),
    ...spanCounters(registry),
    observerFailed,
    subscribe: () =>
      all([
        subscribe(events.connectionOpened, connections.opened, failed),
        subscribe(events.connectionClosed, connections.closed, failed),
        subscribe(events.connectionRefused, connections.refused, failed),
        subscribe(events.sessionOpened, sessions.opened, failed),
        subscribe(events.sessionClosed, sessions.closed, failed),
        subscribe(events.sessionRefused, sessions.refused, failed),
        subscribe(events.sessionReauthenticated, sessions.reauthenticated, failed),
      ]),
  };
}

type ConnectionCounters = {
  readonly opened: (record: ConnectionRecord) => void;
  readonly closed: (record: ConnectionRecord) => void;
  readonly refused: (event: RefusalEvent) => void;
};

function connectionCounters(registry: Registry): ConnectionCounters {
  const childrenOf = boundChildren(registry);
  const projects = registry.counter(proxyMetrics.projectConnections);
  const closed = registry.counter(proxyMetrics.connectionsClosed);
  const refusals = registry.counter(proxyMetrics.connectionRefusals);
  const active = registry.gauge(proxyMetrics.connectionsActive);
  const activeNow = {
    outbound: active.labels({ direction: "outbound" }),
    inbound: active.labels({ direction: "inbound" }),
  };
  return {
    opened: (record) => {
      const { direction, transport } = record;
      const children = childrenOf(record);
      children.opened.add();
      children.openSeconds.observe(record.openedAfterMs / 1_000);
      activeNow[direction].add();
      projects.labels({ direction, transport, peer_project: record.peerProject ?? "" }).add();
    },
    closed: (record) => {
      // Refused connections end too, but were never open: they are counted as refusals.
      if (record.openedAfterMs < 0) return;
      const { direction, transport } = record;
      const children = childrenOf(record);
      activeNow[direction].add(-1);
      children.durationSeconds.observe((record.endedAt - record.startedAt) / 1_000);
      children.bytesSent.add(record.bytesSent);
      children.bytesReceived.add(record.bytesReceived);
      closed
        .labels({
          direction,
          transport,
          closed_by: record.closedBy,
          reset: String(record.reset),
          reason: record.reason ?? "",
        })
        .add();
    },
    refused: ({ record, reason, dryRun }) => {
      refusals.labels({ direction: record.direction, reason, class: record.peerClass, dry_run: String(dryRun) }).add();
    },
  };
}

function boundChildren(registry: Registry): (record: ConnectionRecord) => Children {
  const opened = registry.counter(proxyMetrics.connectionsOpened);
  const openSeconds = registry.histogram(proxyMetrics.openSeconds);
  const durationSeconds = registry.histogram(proxyMetrics.durationSeconds);
  const bytes = registry.counter(proxyMetrics.bytes);
  const bound = new Map<string, Children>();
  return ({ direction, transport, peerClass }) => {
    const key = `${direction} ${transport} ${peerClass}`;
    const known = bound.get(key);
    if (known !== undefined) return known;
    const children = {
      opened: opened.labels({ direction, transport, class: peerClass }),
      openSeconds: openSeconds.labels({ direction, transport }),
      durationSeconds: durationSeconds.labels({ direction, transport }),
      bytesSent: bytes.labels({ direction, transport, flow: "sent" }),
      bytesReceived: bytes.labels({ direction, transport, flow: "received" }),
    };
    bound.set(key, children);
    return children;
  };
}

type SessionCounters = {
  readonly opened: (event: SessionEvent) => void;
  readonly closed: (event: SessionEvent) => void;
  readonly refused: (event: SessionRefusalEvent) => void;
  readonly reauthenticated: (event: ReauthenticationEvent) => void;
};

function sessionCounters(registry: Registry): SessionCounters {
  const opened = registry.counter(proxyMetrics.sessionsOpened);
  const closed = registry.counter(proxyMetrics.sessionsClosed);
  const active = registry.gauge(proxyMetrics.sessionsActive);
  const refusals = registry.counter(proxyMetrics.sessionRefusals);
  const reauthentications = registry.counter(proxyMetrics.sessionReauthentications);
  return {
    opened: ({ direction }) => {
      opened.labels({ direction }).add();
      active.labels({ direction }).add();
    },
    closed: ({ direction, reason }) => {
      closed.labels({ direction, reason: reason ?? "" }).add();
      active.labels({ direction }).add(-1);
    },
    refused: ({ reason }) => refusals.labels({ reason }).add(),
    reauthenticated: ({ direction, reason }) => reauthentications.labels({ direction, reason: reason ?? "" }).add(),
  };
}

function stateGauges(
  registry: Registry,
): Pick<ProxyMetrics, "certificateNotAfter" | "directoryVersion" | "bundleVersion"> {
  const notAfter: Gauge = registry.gauge(proxyMetrics.certificateNotAfter).labels({});
  const directory: Gauge = registry.gauge(proxyMetrics.directoryVersion).labels({});
  const bundle: Gauge = registry.gauge(proxyMetrics.bundleVersion).labels({});
  return {
    certificateNotAfter: (at) => notAfter.set(at / 1_000),
    directoryVersion: (version) => directory.set(version),
    bundleVersion: (version) => bundle.set(Number(version)),
  };
}

function spanCounters(registry: Registry): Pick<ProxyMetrics, "spansExported" | "spansDropped"> {
  const exported = registry.counter(proxyMetrics.spansExported).labels({});
  const dropped = registry.counter(proxyMetrics.spansDropped);
  return {
    spansExported: (count) => exported.add(count),
    spansDropped: (cause, count) => dropped.labels({ cause }).add(count),
  };
}
