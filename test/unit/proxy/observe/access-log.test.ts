/** The log's lines of connections: their fields, when there is one, how many there are, and what a peer cannot forge. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createLog } from "../../../../lib/log/log.ts";
import type { Level } from "../../../../lib/log/log.ts";
import { startAccessLog } from "../../../../proxy/observe/access-log.ts";
import { events } from "../../../../proxy/observe/events.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import type { ManualClock } from "../../../clock/manual-clock.ts";
import { record, refusedRecord, sessionRefusal, tlsFacts } from "./records.ts";

type Line = Record<string, unknown>;
type SetUp = { clock: ManualClock; raw: string[]; lines: () => Line[]; failures: () => number; stop: () => void };

function setUp(t: TestContext, options: { connections?: "refused" | "all"; level?: Level } = {}): SetUp {
  const clock = manualClock();
  const raw: string[] = [];
  let failures = 0;
  const log = createLog({ level: options.level ?? "info", now: clock.now, write: (line) => raw.push(line) });
  const stop = startAccessLog({
    log,
    clock,
    connections: options.connections ?? "refused",
    project: "shop",
    failed: () => failures++,
  });
  t.after(stop);
  return { clock, raw, lines: () => raw.map((line) => JSON.parse(line) as Line), failures: () => failures, stop };
}

test("a refused connection is one line with every field of the contract", (t) => {
  const { lines } = setUp(t);
  const refused = refusedRecord({ detail: "because" });
  events.connectionRefused.publish({ record: refused, reason: "peer_not_enrolled", detail: "because", dryRun: false });
  events.connectionClosed.publish(refused);
  assert.deepEqual(lines(), [
    {
      time: "2023-11-14T22:13:20.000Z",
      level: "warn",
      event: "connection_refused",
      direction: "outbound",
      reason: "peer_not_enrolled",
      source: "10.0.0.2:41000",
      destination: "10.96.0.10:80",
      upstream: "10.0.0.3:8080",
      service: "shop/cart",
      peer: null,
      peerWorkload: "shop/cart-1",
      peerProject: "shop",
      class: "internal",
      project: "shop",
      mode: "project",
      detail: "because",
      dryRun: false,
      hint: "inject it; while rolling out, set tencrypt.io/mode=permissive and restart the pods that refuse: the mode at its start is a pod's floor",
      docs: "docs/errors.md#peer_not_enrolled",
      count: 1,
    },
  ]);
});

test("a dry-run refusal says so and keeps the peer", (t) => {
  const { lines } = setUp(t);
  events.connectionRefused.publish({
    record: record({ direction: "inbound" }),
    reason: "caller_not_allowed",
    detail: null,
    dryRun: true,
  });
  const [line] = lines();
  assert.equal(line?.["dryRun"], true);
  assert.equal(line?.["peer"], tlsFacts.peerIdentity);
});

test("a refused handshake is a refusal as well, and what the peer claims is marked as unverified", (t) => {
  const { lines } = setUp(t, { level: "debug" });
  events.sessionRefused.publish(sessionRefusal());
  events.sessionRefused.publish(sessionRefusal({ claimed: "not an id", source: "10.0.0.67:1" }));
  const outbound = refusedRecord({ claimed: sessionRefusal().claimed });
  events.connectionRefused.publish({ record: outbound, reason: "wrong_issuer", detail: null, dryRun: false });
  const told = lines().map(({ event, level, reason, peer, peerVerified, claimed }) => ({
    event,
    level,
    reason,
    peer,
    peerVerified,
    claimed,
  }));
  const id = "spiffe://demo.local/ns/shop/sa/client";
  assert.deepEqual(told, [
    { event: "connection_refused", level: "warn", reason: "wrong_issuer", peer: id, peerVerified: false, claimed: id },
    {
      event: "connection_refused",
      level: "warn",
      reason: "wrong_issuer",
      peer: null,
      peerVerified: false,
      claimed: "not an id",
    },
    { event: "connection_refused", level: "warn", reason: "wrong_issuer", peer: id, peerVerified: false, claimed: id },
  ]);
});

test("allowed connections are logged only by setting", (t) => {
  const quiet = setUp(t, { level: "debug" });
  events.connectionOpened.publish(record());
  events.connectionClosed.publish(record());
  assert.deepEqual(quiet.raw, []);
  quiet.stop();
  const chatty = setUp(t, { connections: "all" });
  events.connectionOpened.publish(record());
  events.connectionClosed.publish(record());
  const [open, closed] = chatty.lines();
  assert.equal(open?.["event"], "connection_open");
  assert.equal(open?.["peer"], tlsFacts.peerIdentity);
  assert.equal(closed?.["event"], "connection_closed");
  assert.deepEqual(
    [
      closed?.["peer"],
      closed?.["bytesSent"],
      closed?.["bytesReceived"],
      closed?.["durationMs"],
      closed?.["closedBy"],
      closed?.["tls"],
    ],
    [
      tlsFacts.peerIdentity,
      120,
      4_500,
      250,
      "client",
      { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", group: "X25519MLKEM768" },
    ],
  );
});

test("a connection cut by us is told always, a peer that went away only at debug", (t) => {
  const { lines, raw } = setUp(t);
  events.connectionClosed.publish(record({ reason: "certificate_ended", closedBy: "proxy" }));
  events.connectionClosed.publish(record({ reason: "session_lost", closedBy: "server", reset: true }));
  assert.equal(raw.length, 1);
  assert.deepEqual(
    [lines()[0]?.["event"], lines()[0]?.["level"], lines()[0]?.["reason"]],
    ["connection_closed", "info", "certificate_ended"],
  );
});

test("a million knocks of one source are a few lines with counts, ports of the source aside", (t) => {
  const { clock, lines } = setUp(t);
  const refuse = (port: number): void =>
    events.connectionRefused.publish({
      record: refusedRecord({ direction: "inbound", source: `10.0.0.66:${port}`, destination: "10.0.0.3:8080" }),
      reason: "plaintext_refused",
      detail: null,
      dryRun: false,
    });
  for (let port = 1; port <= 50_000; port++) refuse(port);
  assert.equal(lines().length, 5);
  clock.advance(1_000);
  const counts = lines().map((line) => line["count"]);
  assert.deepEqual(counts, [1, 1, 1, 1, 1, 49_995]);
  assert.equal(lines()[5]?.["source"], "10.0.0.66:50000");
});

test("a line for more sources than are kept apart accuses none of them", (t) => {
  const { clock, lines } = setUp(t);
  for (let at = 0; at < 1_000; at++)
    events.sessionRefused.publish(sessionRefusal({ source: `10.1.${at >> 8}.${at & 255}:1` }));
  clock.advance(1_000);
  assert.equal(lines().length, 257);
  const merged = lines().at(-1);
  assert.deepEqual(
    [merged?.["source"], merged?.["peer"], merged?.["reason"], merged?.["count"]],
    [null, null, "wrong_issuer", 744],
  );
  assert.equal(
    lines().reduce((sum, line) => sum + Number(line["count"]), 0),
    1_000,
  );
});

test("hostile text stays inside one JSON string and is cut", (t) => {
  const { raw, lines } = setUp(t);
  const hostile = `a"}\r\n{"event":"ready"}\u001b[2J\u0085\u2028\u2029\u0000\ud800${"x".repeat(65_536)}`;
  events.sessionRefused.publish(sessionRefusal({ claimed: hostile, detail: hostile }));
  assert.equal(raw.length, 1);
  assert.ok(raw[0]!.length < 4_096, `${raw[0]!.length} characters`);
  // oxlint-disable-next-line no-control-regex -- control characters are exactly what is looked for
  assert.match(raw[0]!, /^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*\n$/);
  assert.equal(lines()[0]?.["event"], "connection_refused");
  assert.equal(lines()[0]?.["claimed"], `${hostile.slice(0, 1_024)}…`);
});

test("a payload that no line can be made of is counted and does not throw into the data path", (t) => {
  const { failures } = setUp(t);
  events.connectionRefused.publish(null as never);
  assert.equal(failures(), 1);
});

test("stop unsubscribes everything", (t) => {
  const { stop } = setUp(t, { connections: "all" });
  assert.equal(events.connectionRefused.hasSubscribers, true);
  stop();
  assert.deepEqual(
    Object.values(events).map((channel) => channel.hasSubscribers),
    [false, false, false, false, false, false, false],
  );
});
