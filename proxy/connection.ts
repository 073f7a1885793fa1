/**
 * One connection from accept to its end: the record that spans, metrics and the access log are made of, and the only
 * places where one is refused, opened and closed. All fields exist from birth; the record is published once at the end.
 */
import type { Socket } from "node:net";
import type { Clock } from "../lib/clock/clock.ts";
import type { Reason } from "../lib/errors/reasons.ts";
import { formatEndpoint, ipFromSocket } from "../lib/net/address.ts";
import type { Ip } from "../lib/net/address.ts";
import { events } from "./observe/events.ts";
import type { ConnectionRecord, Direction, PeerClass } from "./observe/events.ts";
import type { RelayOutcome } from "./relay/relay.ts";
import { podName } from "./route/snapshot.ts";
import type { Service, Workload } from "./route/snapshot.ts";
import type { DryRun } from "./route/policy.ts";

export function newRecord(
  direction: Direction,
  source: string,
  { mode, clock }: { mode: string; clock: Clock },
): ConnectionRecord {
  return {
    direction,
    startedAt: clock.now(),
    endedAt: 0,
    openedAfterMs: -1,
    source,
    destination: "",
    upstream: "",
    service: null,
    peerWorkload: null,
    peerClass: "none",
    peerProject: null,
    transport: "none",
    mode,
    tls: null,
    claimed: null,
    trace: null,
    reason: null,
    detail: null,
    bytesSent: 0,
    bytesReceived: 0,
    closedBy: "unknown",
    reset: false,
  };
}

/** What the decision knows of the far end. */
export function describeFarEnd(
  record: ConnectionRecord,
  facts: { class: PeerClass; workload: Workload | null; service?: Service | null },
): void {
  record.peerClass = facts.class;
  record.peerProject = facts.workload?.project ?? facts.service?.project ?? record.peerProject;
  record.peerWorkload = facts.workload === null ? null : podName(facts.workload);
  record.service = facts.service?.fullName ?? null;
}

/** `ip:port` of the far end of an accepted socket, with IPv4 callers of a dual-stack listener as IPv4. */
export function sourceOf(socket: Socket): { readonly ip: Ip | null; readonly text: string } {
  const ip = ipFromSocket(socket.remoteAddress);
  return { ip, text: ip === null ? "" : formatEndpoint({ ip, port: socket.remotePort ?? 0 }) };
}

/** Nothing flowed: publishes the refusal and the end. The caller resets its side itself. */
export function refused(
  record: ConnectionRecord,
  clock: Clock,
  { reason, detail }: { reason: Reason; detail: string | null },
): void {
  record.reason = reason;
  record.detail = detail;
  record.closedBy = "proxy";
  record.endedAt = clock.now();
  if (events.connectionRefused.hasSubscribers)
    events.connectionRefused.publish({ record, reason, detail, dryRun: false });
  if (events.connectionClosed.hasSubscribers) events.connectionClosed.publish(record);
}

/** The connection goes on, but the stricter mode of the dry run would have refused it. */
export function wouldBeRefused(record: ConnectionRecord, { reason, detail }: DryRun): void {
  if (events.connectionRefused.hasSubscribers)
    events.connectionRefused.publish({ record, reason, detail, dryRun: true });
}

/** Bytes can flow from here on. */
export function opened(record: ConnectionRecord, clock: Clock): void {
  record.openedAfterMs = clock.now() - record.startedAt;
  if (events.connectionOpened.hasSubscribers) events.connectionOpened.publish(record);
}

/** Why an open connection was ended by this proxy. */
export type Cut = { readonly reason: Reason; readonly detail: string | null };

export function closed(
  record: ConnectionRecord,
  clock: Clock,
  { outcome, cut }: { outcome: RelayOutcome; cut: Cut | null },
): void {
  record.reason = cut?.reason ?? null;
  record.detail = cut?.detail ?? null;
  record.bytesSent = outcome.bytesSent;
  record.bytesReceived = outcome.bytesReceived;
  record.closedBy = outcome.closedBy;
  record.reset = outcome.reset;
  record.endedAt = clock.now();
  if (events.connectionClosed.hasSubscribers) events.connectionClosed.publish(record);
}
