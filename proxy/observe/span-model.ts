/**
 * What a span says: names by OpenTelemetry's semantic conventions where it has one, else `tencrypt.*`. Every text is
 * cut at 1 KiB. Knows no tracing library. Pure.
 */
import { isIpv6, parseEndpoint } from "../../lib/net/address.ts";
import { reasons } from "../../lib/errors/reasons.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import type { ConnectionRecord, Direction, SessionRefusalEvent, TlsFacts, TraceContext } from "./events.ts";

export type Attributes = Record<string, string | number | boolean>;

export type SpanModel = {
  readonly name: string;
  readonly kind: "client" | "server";
  readonly trace: TraceContext;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: Attributes;
  /** What went wrong, for people; null if nothing did. */
  readonly failure: string | null;
};

/** Who we are. */
export type OwnFacts = { readonly identity: string; readonly project: string };

const longestText = 1_024;
const cut = (text: string): string =>
  (text.length <= longestText ? text : `${text.slice(0, longestText)}…`).toWellFormed();

type Decision = "allowed" | "refused" | "dry-run";

/** `dryRun` is the reason for which a stricter mode would have refused the connection. */
export function connectionSpan(
  own: OwnFacts,
  record: ConnectionRecord,
  trace: TraceContext,
  dryRun: Reason | null,
): SpanModel {
  const outbound = record.direction === "outbound";
  const attributes: Attributes = {
    ...addresses(record.direction, record.source, record.upstream === "" ? record.destination : record.upstream),
    ...(outbound ? endpoint("server", record.destination) : {}),
    ...(record.tls === null ? {} : tls(record.direction, record.tls)),
    "tencrypt.identity": own.identity,
    "tencrypt.project": own.project,
    ...course(record, dryRun),
    ...farEnd(record),
    ...why(record.reason ?? dryRun, record.detail),
    ...known("error.type", record.reason),
  };
  // The name groups spans: a Service is a group, a pod is not.
  const connect = record.service === null ? "connect" : `connect ${cut(record.service)}`;
  return {
    name: outbound ? connect : "accept",
    kind: outbound ? "client" : "server",
    trace,
    startedAt: record.startedAt,
    endedAt: record.endedAt,
    attributes,
    failure: record.reason === null ? null : reasons[record.reason].what,
  };
}

/** What was decided and what came of it. */
function course(record: ConnectionRecord, dryRun: Reason | null): Attributes {
  const opened = record.openedAfterMs >= 0;
  const allowed: Decision = dryRun === null ? "allowed" : "dry-run";
  const decision: Decision = record.reason !== null && !opened ? "refused" : allowed;
  return {
    "tencrypt.direction": record.direction,
    "tencrypt.class": record.peerClass,
    "tencrypt.transport": record.transport,
    "tencrypt.decision": decision,
    "tencrypt.mode": record.mode,
    "tencrypt.bytes.sent": record.bytesSent,
    "tencrypt.bytes.received": record.bytesReceived,
    "tencrypt.closed_by": record.closedBy,
    "tencrypt.reset": record.reset,
    ...(opened ? { "tencrypt.open.duration_ms": record.openedAfterMs } : {}),
  };
}

const farEnd = (record: ConnectionRecord): Attributes => ({
  ...known("tencrypt.peer.identity", record.tls?.peerIdentity),
  ...known("tencrypt.peer.claimed_identity", record.claimed),
  ...known("tencrypt.peer.pod.uid", record.tls?.peerPodUid),
  ...known("tencrypt.peer.project", record.peerProject),
  ...known("tencrypt.peer.workload", record.peerWorkload),
  ...known("tencrypt.service", record.service),
});

/** A caller's handshake that was refused: no connection, no parent, no duration. */
export function sessionRefusalSpan(
  own: OwnFacts,
  event: SessionRefusalEvent,
  trace: TraceContext,
  at: number,
): SpanModel {
  const attributes: Attributes = {
    ...addresses("inbound", event.source, event.destination),
    "tls.established": false,
    "tencrypt.identity": own.identity,
    "tencrypt.project": own.project,
    "tencrypt.direction": "inbound",
    "tencrypt.decision": "refused",
    ...known("tencrypt.peer.claimed_identity", event.claimed),
    ...why(event.reason, event.detail),
    "error.type": event.reason,
  };
  const failure = reasons[event.reason].what;
  return { name: "refuse session", kind: "server", trace, startedAt: at, endedAt: at, attributes, failure };
}

const known = (name: string, text: string | null | undefined): Attributes =>
  text === null || text === undefined || text === "" ? {} : { [name]: cut(text) };

function why(reason: Reason | null, detail: string | null): Attributes {
  if (reason === null) return {};
  return {
    "tencrypt.reason": reason,
    "tencrypt.reason.initiator": reasons[reason].initiator,
    ...known("tencrypt.detail", detail),
  };
}

/** `network.peer` is the far end of the hop between the proxies, `client` and `server` those of the connection. */
function addresses(direction: Direction, source: string, far: string): Attributes {
  const peer = direction === "outbound" ? far : source;
  const local = direction === "outbound" ? source : far;
  const ip = parseEndpoint(peer)?.ip;
  return {
    "network.transport": "tcp",
    ...(ip === undefined ? {} : { "network.type": isIpv6(ip) ? "ipv6" : "ipv4" }),
    ...endpoint("network.peer", peer),
    ...endpoint("network.local", local),
    ...endpoint("client", source),
    ...endpoint("server", far),
  };
}

function endpoint(prefix: string, text: string): Attributes {
  const parsed = parseEndpoint(text);
  return parsed === null ? {} : { [`${prefix}.address`]: parsed.ip, [`${prefix}.port`]: parsed.port };
}

/** Leaves have an empty subject, so their SPIFFE ID stands in the place of its name. */
function tls(direction: Direction, facts: TlsFacts): Attributes {
  const [client, server] =
    direction === "outbound" ? [facts.ownIdentity, facts.peerIdentity] : [facts.peerIdentity, facts.ownIdentity];
  const peer = direction === "outbound" ? "server" : "client";
  return {
    "tls.established": true,
    "tls.protocol.name": "tls",
    "tls.protocol.version": facts.protocolVersion.replace(/^TLSv/, ""),
    "tls.next_protocol": "h2",
    "tls.cipher": facts.cipher,
    ...known("tls.curve", facts.group),
    ...known("tls.client.subject", client),
    ...known("tls.server.subject", server),
    [`tls.${peer}.not_after`]: new Date(facts.peerNotAfter).toISOString(),
    ...known("tencrypt.peer.certificate.serial", facts.peerSerial),
  };
}
