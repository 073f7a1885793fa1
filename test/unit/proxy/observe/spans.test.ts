/** Spans on their way to a collector: what becomes one, and that a bad collector costs spans, each counted, and nothing else. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectNet, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { systemClock } from "../../../../lib/clock/clock.ts";
import { Settings } from "../../../../lib/config/settings.ts";
import { silent } from "../../../../lib/log/log.ts";
import type { Log } from "../../../../lib/log/log.ts";
import { Registry } from "../../../../lib/metrics/registry.ts";
import { events } from "../../../../proxy/observe/events.ts";
import { startObserving } from "../../../../proxy/observe/observe.ts";
import type { Observing } from "../../../../proxy/observe/observe.ts";
import type { Connect } from "../../../../proxy/observe/span-connection.ts";
import { readTracingSettings } from "../../../../proxy/observe/tracing-settings.ts";
import { startCollector } from "../../../collector/collector.ts";
import type { Collector, CollectorOptions } from "../../../collector/collector.ts";
import { makeSelfSigned } from "../../../pki/self-signed.ts";
import { record, refusedRecord, sessionRefusal, tlsFacts } from "./records.ts";

const facts = {
  identity: tlsFacts.ownIdentity,
  project: "shop",
  podName: "client-1",
  podUid: "uid-client",
  version: "1.2.3",
  startedAt: 0,
};
const direct: Connect = (host, port) => connectNet(port, host);
const deadline = { timeout: 30_000 };

type Running = { observing: Observing; value: (sample: string) => number };

async function observe(
  t: TestContext,
  url: string,
  options: { env?: Record<string, string>; connect?: Connect; log?: Log } = {},
): Promise<Running> {
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: url,
    OTEL_BSP_SCHEDULE_DELAY: "10",
    OTEL_EXPORTER_OTLP_TIMEOUT: "300",
    ...options.env,
  };
  const registry = new Registry();
  const observing = await startObserving({
    settings: { tracing: readTracingSettings(new Settings(env)) ?? null, connections: "refused" },
    facts,
    log: options.log ?? silent,
    clock: systemClock,
    registry,
    droppedLogLines: () => 0,
    connect: options.connect ?? direct,
  });
  t.after(() => observing.stop());
  const value = (sample: string): number =>
    Number(
      registry
        .render("prometheus")
        .split("\n")
        .find((line) => line.startsWith(`${sample} `))
        ?.split(" ")
        .at(-1) ?? 0,
    );
  return { observing, value };
}

async function collect(t: TestContext, options: CollectorOptions = {}): Promise<Collector> {
  const collector = await startCollector(options);
  t.after(() => collector.close());
  return collector;
}

const lost = (cause: string): string => `tencrypt_spans_dropped_total{cause="${cause}"}`;

test(
  "a connection arrives with the record's own ids, times, attributes and the pod as resource",
  deadline,
  async (t) => {
    const collector = await collect(t);
    const { observing, value } = await observe(t, collector.url, {
      env: {
        OTEL_RESOURCE_ATTRIBUTES: "team=a",
        OTEL_SERVICE_NAME: "cart",
        OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20x",
      },
    });
    const trace = {
      traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
      spanId: "00f067aa0ba902b7",
      parentSpanId: "1122334455667788",
      sampled: true,
    };
    events.connectionClosed.publish(record({ trace, startedAt: 1_700_000_000_000.25, endedAt: 1_700_000_000_999.5 }));
    const [span] = await collector.waitFor(1);
    assert.ok(span !== undefined);
    const { attributes, ...rest } = span;
    assert.deepEqual(rest, {
      traceId: trace.traceId,
      spanId: trace.spanId,
      parentSpanId: trace.parentSpanId,
      name: "connect shop/cart",
      kind: "client",
      start: 1_700_000_000_000_250_000n,
      end: 1_700_000_000_999_500_000n,
      status: "unset",
      statusMessage: "",
      resource: {
        "service.name": "cart",
        "service.version": "1.2.3",
        "k8s.namespace.name": "shop",
        "k8s.pod.name": "client-1",
        "k8s.pod.uid": "uid-client",
        team: "a",
      },
      scope: "tencrypt",
    });
    assert.equal(attributes["tls.curve"], "X25519MLKEM768");
    assert.equal(attributes["tencrypt.bytes.received"], 4_500);
    assert.equal(attributes["tls.established"], true);
    assert.deepEqual(
      [collector.requests[0]?.path, collector.requests[0]?.headers.authorization],
      ["/v1/traces", "Bearer x"],
    );
    await observing.stop();
    assert.equal(value("tencrypt_spans_exported_total"), 1);
  },
);

test("refusals are spans with status error: connections, and handshakes of callers", deadline, async (t) => {
  const collector = await collect(t);
  await observe(t, collector.url);
  const refused = refusedRecord({ trace: record().trace });
  events.connectionRefused.publish({ record: refused, reason: "peer_not_enrolled", detail: null, dryRun: false });
  events.connectionClosed.publish(refused);
  events.sessionRefused.publish(sessionRefusal());
  const spans = await collector.waitFor(2);
  assert.deepEqual(
    spans.map((span) => [span.kind, span.status, span.attributes["error.type"], span.attributes["tencrypt.decision"]]),
    [
      ["client", "error", "peer_not_enrolled", "refused"],
      ["server", "error", "wrong_issuer", "refused"],
    ],
  );
  assert.match(spans[1]!.traceId, /^[0-9a-f]{32}$/);
  assert.notEqual(spans[1]!.traceId, "0".repeat(32));
});

test("a dry-run refusal marks the span of its connection", deadline, async (t) => {
  const collector = await collect(t);
  await observe(t, collector.url);
  const connection = record();
  events.connectionRefused.publish({ record: connection, reason: "plaintext_refused", detail: null, dryRun: true });
  events.connectionClosed.publish(connection);
  const [span] = await collector.waitFor(1);
  assert.deepEqual(
    [span?.attributes["tencrypt.decision"], span?.attributes["tencrypt.reason"], span?.status],
    ["dry-run", "plaintext_refused", "unset"],
  );
});

test("what is not sampled and what carries no trace makes no span", deadline, async (t) => {
  const collector = await collect(t);
  const { observing } = await observe(t, collector.url);
  const trace = record().trace!;
  events.connectionClosed.publish(record({ trace: null }));
  events.connectionClosed.publish(record({ trace: { ...trace, sampled: false } }));
  events.connectionClosed.publish(record({ service: "shop/last" }));
  await observing.stop();
  assert.deepEqual(
    collector.spans.map((span) => span.name),
    ["connect shop/last"],
  );
});

test("the trace goes on from one side to the other", deadline, async (t) => {
  const collector = await collect(t);
  await observe(t, collector.url);
  const client = record().trace!;
  const server = { ...client, spanId: "00f067aa0ba902b8", parentSpanId: client.spanId };
  events.connectionClosed.publish(record({ trace: client }));
  events.connectionClosed.publish(record({ direction: "inbound", trace: server }));
  const [first, second] = await collector.waitFor(2);
  assert.equal(first?.parentSpanId, null);
  assert.deepEqual([second?.traceId, second?.parentSpanId], [first?.traceId, first?.spanId]);
});

test("stop sends what waits", deadline, async (t) => {
  const collector = await collect(t);
  const { observing, value } = await observe(t, collector.url, {
    env: { OTEL_BSP_SCHEDULE_DELAY: "600000", OTEL_EXPORTER_OTLP_TIMEOUT: "4000" },
  });
  for (let at = 0; at < 2_000; at++) events.connectionClosed.publish(record());
  await observing.stop();
  assert.equal(collector.spans.length, 2_000);
  assert.equal(value("tencrypt_spans_exported_total"), 2_000);
});

for (const mode of ["hang", "dribble"] as const) {
  test(
    `a collector that ${mode}s costs spans, each counted, and it is used again when it recovers`,
    deadline,
    async (t) => {
      const collector = await collect(t, { mode });
      const { value } = await observe(t, collector.url);
      const asked = collector.nextRequest();
      for (let at = 0; at < 5_000; at++) events.connectionClosed.publish(record());
      // One batch under way, a full queue behind it.
      assert.equal(value(lost("queue_full")), 5_000 - 2_048 - 512);
      await asked;
      await until(() => value(lost("export_failed")) === 2_048 + 512);
      collector.mode = "ok";
      events.connectionClosed.publish(record({ service: "shop/after" }));
      await collector.waitFor(1, (span) => span.name === "connect shop/after");
    },
  );
}

for (const mode of ["error", "busy"] as const) {
  test(
    `a collector that answers with ${mode} costs spans, each counted, and one line a minute`,
    deadline,
    async (t) => {
      const collector = await collect(t, { mode });
      const lines: string[] = [];
      const { value } = await observe(t, collector.url, { log: (_level, event) => lines.push(event) });
      for (let at = 0; at < 1_500; at++) events.connectionClosed.publish(record());
      await until(() => value(lost("export_failed")) === 1_500);
      assert.deepEqual(lines, ["spans_dropped"]);
    },
  );
}

test("a dead collector costs spans, each counted", deadline, async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  const { value } = await observe(t, `http://127.0.0.1:${port}`);
  for (let at = 0; at < 100; at++) events.connectionClosed.publish(record());
  await until(() => value(lost("export_failed")) === 100);
});

test("a route that refuses, throws or never answers costs spans, each counted", deadline, async (t) => {
  const routes: Connect[] = [
    () => assert.fail("no route"),
    () => Promise.reject(new Error("refused")),
    () => new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() }),
    () => new Promise<Duplex>(() => {}),
  ];
  for (const connect of routes) {
    const { observing, value } = await observe(t, "http://collector.invalid:4318", { connect });
    events.connectionClosed.publish(record());
    await until(() => value(lost("export_failed")) === 1);
    await observing.stop();
  }
});

test("stop takes at most two seconds with a hung collector, and counts what is left", deadline, async (t) => {
  const collector = await collect(t, { mode: "hang" });
  const { observing, value } = await observe(t, collector.url, { env: { OTEL_EXPORTER_OTLP_TIMEOUT: "60000" } });
  for (let at = 0; at < 10; at++) events.connectionClosed.publish(record());
  await collector.nextRequest();
  const before = performance.now();
  await observing.stop();
  assert.ok(performance.now() - before < 2_500);
  assert.equal(value(lost("shutdown")), 10);
});

test("refused handshakes cannot push out the spans of connections", deadline, async (t) => {
  const collector = await collect(t);
  const { observing, value } = await observe(t, collector.url, { env: { OTEL_BSP_SCHEDULE_DELAY: "600000" } });
  for (let at = 0; at < 5_000; at++) events.sessionRefused.publish(sessionRefusal());
  for (let at = 0; at < 100; at++) events.connectionClosed.publish(record());
  await observing.stop();
  const refusals = collector.spans.filter((span) => span.name === "refuse session").length;
  assert.equal(collector.spans.length - refusals, 100);
  assert.ok(refusals >= 20 && refusals < 200, `${refusals} spans of refusals`);
  assert.equal(value(lost("too_many_refusals")), 5_000 - refusals);
});

test("spans leave through the stream that the caller makes, also if it is no socket", deadline, async (t) => {
  const collector = await collect(t);
  const asked: [string, number][] = [];
  const connect: Connect = (host, port) => {
    asked.push([host, port]);
    return tunnel(connectNet(collector.port, collector.host));
  };
  await observe(t, "http://[fd00::9]:4318", { connect, env: { OTEL_EXPORTER_OTLP_COMPRESSION: "gzip" } });
  events.connectionClosed.publish(record());
  await collector.waitFor(1);
  assert.deepEqual(asked, [["fd00::9", 4318]]);
});

test("an https collector is verified against the given roots", deadline, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-collector-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [key, cert, other] = ["key.pem", "cert.pem", "other.pem"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const made of [other, cert]) makeSelfSigned("collector.test", { key, cert: made });
  const collector = await collect(t, { tls: { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") } });
  const connect: Connect = () => connectNet(collector.port, collector.host);
  const url = `https://collector.test:${collector.port}`;
  const trusting = await observe(t, url, { connect, env: { OTEL_EXPORTER_OTLP_CERTIFICATE: cert } });
  events.connectionClosed.publish(record());
  await collector.waitFor(1);
  await trusting.observing.stop();
  const doubting = await observe(t, url, { connect, env: { OTEL_EXPORTER_OTLP_CERTIFICATE: other } });
  events.connectionClosed.publish(record());
  await until(() => doubting.value(lost("export_failed")) === 1);
  assert.equal(collector.spans.length, 1);
});

/** A stream as a tunnel gives it: none of a socket's methods. */
function tunnel(socket: Socket): Duplex {
  const stream = new Duplex({
    read: () => void socket.resume(),
    write: (chunk, _encoding, done) => void socket.write(chunk as Buffer, done),
    final: (done) => void socket.end(done),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (chunk) => void (stream.push(chunk) || socket.pause()));
  socket.once("end", () => stream.push(null));
  socket.on("error", (error) => stream.destroy(error));
  return stream;
}

/** Waits for a state that no event announces. */
async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!holds()) {
    assert.ok(performance.now() < end, "the state did not come");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
