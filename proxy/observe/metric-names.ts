/**
 * All metrics of the proxy: name, type, meaning, labels and how many values each label may take. `docs/metrics.md` is
 * compared with this table by a test, in both directions. No label holds an address, a pod or anything else that a
 * peer can choose, but for project names, which are capped. Pure.
 */
import { reasons } from "../../lib/errors/reasons.ts";
import type { MetricDefinition } from "../../lib/metrics/definition.ts";

const direction = 2;
const transport = 4;
const peerClass = 7;
const yesNo = 2;
/** All codes, and the empty text for none. */
const reason = Object.keys(reasons).length + 1;
const projects = 100;

const openSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5] as const;
const durationSeconds = [0.005, 0.05, 0.5, 5, 30, 300, 3_600, 86_400] as const;

export const proxyMetrics = {
  connectionsOpened: {
    type: "counter",
    name: "tencrypt_connections_opened_total",
    help: "Connections on which bytes could flow.",
    labels: { direction, class: peerClass, transport },
  },
  connectionsClosed: {
    type: "counter",
    name: "tencrypt_connections_closed_total",
    help: "Opened connections that have ended, by who ended them, whether by reset, and the reason code (empty for an ordinary end).",
    labels: { direction, transport, closed_by: 4, reset: yesNo, reason },
  },
  connectionsActive: {
    type: "gauge",
    name: "tencrypt_connections_active",
    help: "Connections open now.",
    labels: { direction },
  },
  connectionRefusals: {
    type: "counter",
    name: "tencrypt_connection_refusals_total",
    help: "Connections refused or not opened; with dry_run=true those that only a stricter mode refuses.",
    labels: { direction, reason, class: peerClass, dry_run: yesNo },
  },
  projectConnections: {
    type: "counter",
    name: "tencrypt_project_connections_total",
    help: "Opened connections by the far end's project (empty where it has none).",
    labels: { direction, peer_project: projects, transport },
  },
  bytes: {
    type: "counter",
    name: "tencrypt_bytes_total",
    help: "Application bytes of ended connections, towards the destination (sent) and back (received).",
    labels: { direction, transport, flow: 2 },
  },
  openSeconds: {
    type: "histogram",
    name: "tencrypt_connection_open_seconds",
    help: "Time from accept until bytes could flow.",
    labels: { direction, transport },
    buckets: openSeconds,
  },
  durationSeconds: {
    type: "histogram",
    name: "tencrypt_connection_duration_seconds",
    help: "Time from accept to the end of opened connections.",
    labels: { direction, transport },
    buckets: durationSeconds,
  },
  sessionsOpened: {
    type: "counter",
    name: "tencrypt_sessions_opened_total",
    help: "TLS sessions with peers that were verified.",
    labels: { direction },
  },
  sessionsClosed: {
    type: "counter",
    name: "tencrypt_sessions_closed_total",
    help: "TLS sessions that have ended, by reason code (empty for an ordinary end).",
    labels: { direction, reason },
  },
  sessionsActive: {
    type: "gauge",
    name: "tencrypt_sessions_active",
    help: "TLS sessions open now.",
    labels: { direction },
  },
  sessionRefusals: {
    type: "counter",
    name: "tencrypt_session_refusals_total",
    help: "Callers' handshakes and sessions refused before any connection was asked for.",
    labels: { reason },
  },
  sessionReauthentications: {
    type: "counter",
    name: "tencrypt_session_reauthentications_total",
    help: "Exchanges of new certificates on live sessions, by reason code (empty where both ends renewed the session).",
    labels: { direction, reason },
  },
  certificateNotAfter: {
    type: "gauge",
    name: "tencrypt_certificate_not_after_seconds",
    help: "End of the own certificate, in seconds since the epoch; 0 while there is none.",
    labels: {},
  },
  directoryVersion: {
    type: "gauge",
    name: "tencrypt_directory_version",
    help: "Version of the directory snapshot in use; 0 while there is none.",
    labels: {},
  },
  bundleVersion: {
    type: "gauge",
    name: "tencrypt_trust_bundle_version",
    help: "Version of the trust bundle in use; 0 while there is none.",
    labels: {},
  },
  spansExported: {
    type: "counter",
    name: "tencrypt_spans_exported_total",
    help: "Spans that the collector took.",
    labels: {},
  },
  spansDropped: {
    type: "counter",
    name: "tencrypt_spans_dropped_total",
    help: "Spans that were lost: the queue was full, the export failed, refusals came too fast, or the process ended.",
    labels: { cause: 4 },
  },
  logLinesDropped: {
    type: "counter",
    name: "tencrypt_log_lines_dropped_total",
    help: "Log lines that stdout did not take.",
    labels: {},
  },
  observerErrors: {
    type: "counter",
    name: "tencrypt_observer_errors_total",
    help: "Events that a span, metric or log line could not be made of: a defect.",
    labels: { observer: 3 },
  },
  eventLoopUtilization: {
    type: "gauge",
    name: "tencrypt_event_loop_utilization",
    help: "Share of time since the last scrape in which the event loop was busy, from 0 to 1.",
    labels: {},
  },
  build: {
    type: "gauge",
    name: "tencrypt_build_info",
    help: "Always 1; the labels say which build runs.",
    labels: { version: 1, runtime: 1 },
  },
  residentMemory: { type: "gauge", name: "process_resident_memory_bytes", help: "Resident memory.", labels: {} },
  cpuSeconds: { type: "counter", name: "process_cpu_seconds_total", help: "User and system CPU time.", labels: {} },
  startTime: {
    type: "gauge",
    name: "process_start_time_seconds",
    help: "Start of the process, in seconds since the epoch.",
    labels: {},
  },
  openFiles: { type: "gauge", name: "process_open_fds", help: "Open file descriptors.", labels: {} },
} as const satisfies Record<string, MetricDefinition>;
