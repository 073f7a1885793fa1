/** What is counted of connections, sessions and the process, in a bounded number of series. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Registry } from "../../../../lib/metrics/registry.ts";
import { events } from "../../../../proxy/observe/events.ts";
import { createProxyMetrics } from "../../../../proxy/observe/metrics.ts";
import type { ProxyMetrics } from "../../../../proxy/observe/metrics.ts";
import { registerProcessMetrics } from "../../../../proxy/observe/process-metrics.ts";
import { record, refusedRecord, sessionRefusal } from "./records.ts";

function setUp(t: TestContext): { registry: Registry; metrics: ProxyMetrics; samples: () => string[] } {
  const registry = new Registry();
  const metrics = createProxyMetrics(registry);
  t.after(metrics.subscribe());
  const samples = (): string[] =>
    registry
      .render("prometheus")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#") && !line.endsWith(" 0"));
  return { registry, metrics, samples };
}

const only = (samples: readonly string[], name: string): string[] => samples.filter((line) => line.startsWith(name));

test("an opened and ended connection is counted with its bytes and times", (t) => {
  const { samples } = setUp(t);
  const connection = record();
  events.connectionOpened.publish(connection);
  assert.deepEqual(only(samples(), "tencrypt_connections"), [
    'tencrypt_connections_opened_total{direction="outbound",class="internal",transport="tunnel"} 1',
    'tencrypt_connections_active{direction="outbound"} 1',
  ]);
  events.connectionClosed.publish(connection);
  assert.deepEqual(only(samples(), "tencrypt_connections"), [
    'tencrypt_connections_opened_total{direction="outbound",class="internal",transport="tunnel"} 1',
    'tencrypt_connections_closed_total{direction="outbound",transport="tunnel",closed_by="client",reset="false",reason=""} 1',
  ]);
  assert.deepEqual(only(samples(), "tencrypt_bytes"), [
    'tencrypt_bytes_total{direction="outbound",transport="tunnel",flow="sent"} 120',
    'tencrypt_bytes_total{direction="outbound",transport="tunnel",flow="received"} 4500',
  ]);
  assert.deepEqual(only(samples(), "tencrypt_connection_open_seconds_sum"), [
    'tencrypt_connection_open_seconds_sum{direction="outbound",transport="tunnel"} 0.003',
  ]);
  assert.deepEqual(only(samples(), "tencrypt_connection_duration_seconds_sum"), [
    'tencrypt_connection_duration_seconds_sum{direction="outbound",transport="tunnel"} 0.25',
  ]);
});

test("a connection that is cut at the end of a certificate is counted with that reason", (t) => {
  const { samples } = setUp(t);
  for (const direction of ["outbound", "inbound"] as const) {
    const connection = record({ direction });
    events.connectionOpened.publish(connection);
    events.connectionClosed.publish({ ...connection, reason: "certificate_ended", closedBy: "proxy", reset: true });
  }
  assert.deepEqual(only(samples(), "tencrypt_connections_closed"), [
    'tencrypt_connections_closed_total{direction="outbound",transport="tunnel",closed_by="proxy",reset="true",reason="certificate_ended"} 1',
    'tencrypt_connections_closed_total{direction="inbound",transport="tunnel",closed_by="proxy",reset="true",reason="certificate_ended"} 1',
  ]);
  assert.deepEqual(only(samples(), "tencrypt_connections_active"), []);
});

test("a refusal is counted by reason and never as an opened connection", (t) => {
  const { samples } = setUp(t);
  const refused = refusedRecord();
  events.connectionRefused.publish({ record: refused, reason: "peer_not_enrolled", detail: null, dryRun: false });
  events.connectionRefused.publish({ record: record(), reason: "plaintext_refused", detail: null, dryRun: true });
  events.connectionClosed.publish(refused);
  assert.deepEqual(samples(), [
    'tencrypt_connection_refusals_total{direction="outbound",reason="peer_not_enrolled",class="internal",dry_run="false"} 1',
    'tencrypt_connection_refusals_total{direction="outbound",reason="plaintext_refused",class="internal",dry_run="true"} 1',
  ]);
});

test("sessions are counted, those open now as well", (t) => {
  const { samples } = setUp(t);
  const session = { direction: "inbound", peer: "p", address: "a", reason: null } as const;
  events.sessionOpened.publish(session);
  events.sessionOpened.publish(session);
  events.sessionClosed.publish({ ...session, reason: "issuer_removed" });
  events.sessionRefused.publish(sessionRefusal());
  assert.deepEqual(samples(), [
    'tencrypt_sessions_opened_total{direction="inbound"} 2',
    'tencrypt_sessions_closed_total{direction="inbound",reason="issuer_removed"} 1',
    'tencrypt_sessions_active{direction="inbound"} 1',
    'tencrypt_session_refusals_total{reason="wrong_issuer"} 1',
  ]);
});

test("10 000 peers, addresses and projects make a constant number of series", (t) => {
  const { registry, samples } = setUp(t);
  const publish = (from: number, to: number): void => {
    for (let at = from; at < to; at++) {
      const connection = record({
        source: `10.0.0.${at}:1`,
        destination: `h${at}`,
        service: `s/${at}`,
        peerWorkload: `w/${at}`,
        peerProject: `project-${at}`,
      });
      events.connectionOpened.publish(connection);
      events.connectionClosed.publish(connection);
      events.sessionRefused.publish(sessionRefusal({ claimed: `c${at}`, detail: `d${at}` }));
    }
  };
  publish(0, 200);
  const before = registry.seriesCount();
  publish(200, 10_000);
  assert.equal(registry.seriesCount(), before);
  assert.ok(
    samples().includes(
      'tencrypt_project_connections_total{direction="outbound",peer_project="overflow",transport="tunnel"} 9900',
    ),
  );
});

test("the gauges that the program sets", (t) => {
  const { metrics, samples } = setUp(t);
  metrics.certificateNotAfter(1_700_000_000_500);
  metrics.directoryVersion(17);
  metrics.bundleVersion(9n);
  metrics.spansDropped("queue_full", 3);
  assert.deepEqual(samples(), [
    "tencrypt_certificate_not_after_seconds 1700000000.5",
    "tencrypt_directory_version 17",
    "tencrypt_trust_bundle_version 9",
    'tencrypt_spans_dropped_total{cause="queue_full"} 3',
  ]);
});

test("an event that cannot be counted is counted as that", (t) => {
  const { samples } = setUp(t);
  events.connectionClosed.publish(null as never);
  assert.deepEqual(samples(), ['tencrypt_observer_errors_total{observer="metrics"} 1']);
});

test("the process is read at each scrape", () => {
  const registry = new Registry();
  let dropped = 2;
  registerProcessMetrics(registry, { version: "1.2.3", startedAt: 5_000, droppedLogLines: () => dropped });
  const value = (name: string): number =>
    Number(new RegExp(`^${name} (.*)$`, "m").exec(registry.render("prometheus"))?.[1]);
  assert.equal(value("tencrypt_log_lines_dropped_total"), 2);
  dropped = 7;
  assert.equal(value("tencrypt_log_lines_dropped_total"), 7);
  assert.equal(value("process_start_time_seconds"), 5);
  assert.ok(value("process_resident_memory_bytes") > 1e6);
  assert.ok(value("process_cpu_seconds_total") > 0);
  assert.ok(value("process_open_fds") > 2);
  assert.ok(value("tencrypt_event_loop_utilization") >= 0);
  assert.match(registry.render("prometheus"), /^tencrypt_build_info\{version="1\.2\.3",runtime="26\./m);
});
