/** What a span says of a connection or a refused handshake. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectionSpan, sessionRefusalSpan } from "../../../../proxy/observe/span-model.ts";
import { record, refusedRecord, sessionRefusal } from "./records.ts";

const own = { identity: "spiffe://demo.local/ns/shop/sa/own", project: "shop" };
const trace = record().trace!;

test("an outbound connection is a client span with both identities, the session and the bytes", () => {
  const span = connectionSpan(own, record(), trace, null);
  assert.deepEqual([span.name, span.kind, span.failure], ["connect shop/cart", "client", null]);
  assert.deepEqual(span.attributes, {
    "network.transport": "tcp",
    "network.type": "ipv4",
    "network.peer.address": "10.0.0.3",
    "network.peer.port": 8080,
    "network.local.address": "10.0.0.2",
    "network.local.port": 41000,
    "client.address": "10.0.0.2",
    "client.port": 41000,
    "server.address": "10.96.0.10",
    "server.port": 80,
    "tls.established": true,
    "tls.protocol.name": "tls",
    "tls.protocol.version": "1.3",
    "tls.next_protocol": "h2",
    "tls.cipher": "TLS_AES_256_GCM_SHA384",
    "tls.curve": "X25519MLKEM768",
    "tls.client.subject": "spiffe://demo.local/ns/shop/sa/client",
    "tls.server.subject": "spiffe://demo.local/ns/shop/sa/server",
    "tls.server.not_after": "2026-11-24T00:00:00.000Z",
    "tencrypt.peer.certificate.serial": "0badcafe",
    "tencrypt.identity": own.identity,
    "tencrypt.project": "shop",
    "tencrypt.direction": "outbound",
    "tencrypt.class": "internal",
    "tencrypt.transport": "tunnel",
    "tencrypt.decision": "allowed",
    "tencrypt.mode": "project",
    "tencrypt.bytes.sent": 120,
    "tencrypt.bytes.received": 4_500,
    "tencrypt.closed_by": "client",
    "tencrypt.reset": false,
    "tencrypt.open.duration_ms": 3,
    "tencrypt.peer.identity": "spiffe://demo.local/ns/shop/sa/server",
    "tencrypt.peer.pod.uid": "uid-server",
    "tencrypt.peer.project": "shop",
    "tencrypt.peer.workload": "shop/cart-1",
    "tencrypt.service": "shop/cart",
  });
});

test("an inbound connection is a server span that sees the caller as peer and as TLS client", () => {
  const inbound = record({
    direction: "inbound",
    source: "[fd00::2]:41000",
    destination: "[fd00::3]:8080",
    upstream: "[fd00::3]:8080",
    service: null,
  });
  const { attributes, kind, name } = connectionSpan(own, inbound, trace, null);
  assert.deepEqual([name, kind], ["accept", "server"]);
  assert.deepEqual(
    [
      "network.type",
      "network.peer.address",
      "network.local.address",
      "client.address",
      "server.address",
      "tls.client.subject",
      "tls.client.not_after",
    ].map((key) => attributes[key]),
    [
      "ipv6",
      "fd00::2",
      "fd00::3",
      "fd00::2",
      "fd00::3",
      "spiffe://demo.local/ns/shop/sa/server",
      "2026-11-24T00:00:00.000Z",
    ],
  );
  assert.equal(attributes["tls.server.not_after"], undefined);
});

test("a refusal carries its reason three times over: error.type, tencrypt.reason and the status", () => {
  const span = connectionSpan(own, refusedRecord({ detail: "evidence" }), trace, null);
  assert.equal(span.failure, "the peer is in the project but has no proxy");
  const { attributes } = span;
  assert.deepEqual(
    [
      "error.type",
      "tencrypt.reason",
      "tencrypt.reason.initiator",
      "tencrypt.detail",
      "tencrypt.decision",
      "tencrypt.identity",
    ].map((key) => attributes[key]),
    ["peer_not_enrolled", "peer_not_enrolled", "peer", "evidence", "refused", own.identity],
  );
  assert.equal(attributes["tls.established"], undefined);
});

test("a dry-run refusal is no failure, and a connection cut later was allowed", () => {
  const dry = connectionSpan(own, record(), trace, "plaintext_refused");
  assert.deepEqual(
    [dry.attributes["tencrypt.decision"], dry.attributes["tencrypt.reason"], dry.attributes["error.type"], dry.failure],
    ["dry-run", "plaintext_refused", undefined, null],
  );
  const cutOff = connectionSpan(own, record({ reason: "issuer_removed" }), trace, null);
  assert.deepEqual(
    [cutOff.attributes["tencrypt.decision"], cutOff.attributes["error.type"]],
    ["allowed", "issuer_removed"],
  );
});

test("an unknown destination gives no address attributes rather than wrong ones", () => {
  const { attributes } = connectionSpan(own, refusedRecord({ source: "", destination: "", upstream: "" }), trace, null);
  assert.deepEqual(
    Object.keys(attributes).filter((key) => /\.(?:address|port|type)$/.test(key)),
    ["error.type"],
  );
});

test("hostile text is cut and well-formed", () => {
  const hostile = `\ud800\r\n${"x".repeat(65_536)}`;
  const { attributes } = sessionRefusalSpan(own, sessionRefusal({ claimed: hostile, detail: hostile }), trace, 5);
  for (const key of ["tencrypt.peer.claimed_identity", "tencrypt.detail"]) {
    const text = String(attributes[key]);
    assert.equal(text.length, 1_025);
    assert.equal(text.isWellFormed(), true);
  }
});
