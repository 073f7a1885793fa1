/** Records as the data path publishes them, with only what a test cares about spelled out. */
import type { ConnectionRecord, SessionRefusalEvent, TlsFacts } from "../../../../proxy/observe/events.ts";

export const tlsFacts: TlsFacts = {
  protocolVersion: "TLSv1.3",
  cipher: "TLS_AES_256_GCM_SHA384",
  group: "X25519MLKEM768",
  ownIdentity: "spiffe://demo.local/ns/shop/sa/client",
  peerIdentity: "spiffe://demo.local/ns/shop/sa/server",
  peerPodUid: "uid-server",
  peerSerial: "0badcafe",
  peerNotAfter: Date.UTC(2026, 10, 24),
};

export const record = (fields: Partial<ConnectionRecord> = {}): ConnectionRecord => ({
  direction: "outbound",
  startedAt: 1_700_000_000_000,
  endedAt: 1_700_000_000_250,
  openedAfterMs: 3,
  source: "10.0.0.2:41000",
  destination: "10.96.0.10:80",
  upstream: "10.0.0.3:8080",
  service: "shop/cart",
  peerWorkload: "shop/cart-1",
  peerClass: "internal",
  peerProject: "shop",
  transport: "tunnel",
  mode: "project",
  tls: tlsFacts,
  claimed: null,
  trace: { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7", parentSpanId: null, sampled: true },
  reason: null,
  detail: null,
  bytesSent: 120,
  bytesReceived: 4_500,
  closedBy: "client",
  reset: false,
  ...fields,
});

export const refusedRecord = (fields: Partial<ConnectionRecord> = {}): ConnectionRecord =>
  record({
    openedAfterMs: -1,
    transport: "none",
    tls: null,
    reason: "peer_not_enrolled",
    bytesSent: 0,
    bytesReceived: 0,
    closedBy: "proxy",
    reset: true,
    ...fields,
  });

export const sessionRefusal = (fields: Partial<SessionRefusalEvent> = {}): SessionRefusalEvent => ({
  source: "10.0.0.66:50000",
  destination: "10.0.0.3:15008",
  reason: "wrong_issuer",
  detail: null,
  claimed: "spiffe://demo.local/ns/shop/sa/client",
  ...fields,
});
