/**
 * One JSON line a connection: refused ones always, the others by setting; the fields are those of docs/config.md.
 *
 * Refusals and cut connections pass a limit (see lib/log/line-limit.ts), so a peer that knocks a million times makes a few lines
 * with counts. A peer that goes away is no incident: such lines are written at level debug.
 */
import type { Clock } from "../../lib/clock/clock.ts";
import { reasons } from "../../lib/errors/reasons.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import { parseSpiffeId } from "../../lib/identity/spiffe-id.ts";
import type { Fields, Log } from "../../lib/log/log.ts";
import { events } from "./events.ts";
import type { ConnectionRecord, ReauthenticationEvent, RefusalEvent, SessionRefusalEvent } from "./events.ts";
import { limitLines } from "../../lib/log/line-limit.ts";
import { all, subscribe } from "./subscription.ts";
import type { Unsubscribe } from "./subscription.ts";

export type AccessLogOptions = {
  readonly log: Log;
  readonly clock: Clock;
  /** Whether connections that were let through are logged as well. */
  readonly connections: "refused" | "all";
  /** The own project. */
  readonly project: string;
  readonly failed: () => void;
};

type Incident =
  | { readonly kind: "refused"; readonly event: RefusalEvent }
  | { readonly kind: "session-refused"; readonly event: SessionRefusalEvent }
  | { readonly kind: "not-reauthenticated"; readonly event: ReauthenticationEvent; readonly reason: Reason }
  | { readonly kind: "cut"; readonly record: ConnectionRecord; readonly reason: Reason };

export function startAccessLog(options: AccessLogOptions): Unsubscribe {
  const { log, clock, failed } = options;
  const incidents = limitLines<Incident>(clock, (incident, count, merged) =>
    writeIncident(options, incident, { count, merged }),
  );
  const report = (incident: Incident): void => {
    const { direction, source, destination, reason, dryRun } = keyOf(incident);
    const coarse = `${incident.kind} ${direction} ${reason} ${dryRun}`;
    incidents.take(`${coarse} ${withoutPort(source)} ${destination}`, coarse, incident);
  };
  const unsubscribes = [
    subscribe(events.connectionRefused, (event) => report({ kind: "refused", event }), failed),
    subscribe(events.sessionRefused, (event) => report({ kind: "session-refused", event }), failed),
    subscribe(
      events.sessionReauthenticated,
      (event) => event.reason !== null && report({ kind: "not-reauthenticated", event, reason: event.reason }),
      failed,
    ),
    subscribe(events.connectionClosed, (record) => ended(options, record, report), failed),
  ];
  if (options.connections === "all") {
    unsubscribes.push(
      subscribe(events.connectionOpened, (record) => log("info", "connection_open", opened(options, record)), failed),
    );
  }
  return all([...unsubscribes, () => incidents.stop()]);
}

/** Opened connections that ended; those that never opened have had their line as refusals. */
function ended(options: AccessLogOptions, record: ConnectionRecord, report: (incident: Incident) => void): void {
  if (record.openedAfterMs < 0) return;
  if (options.connections === "all") options.log("info", "connection_closed", closed(options, record));
  else if (record.reason !== null) report({ kind: "cut", record, reason: record.reason });
}

type Key = { direction: string; source: string; destination: string; reason: Reason; dryRun: boolean };

function keyOf(incident: Incident): Key {
  switch (incident.kind) {
    case "refused": {
      const { record, reason, dryRun } = incident.event;
      return { direction: record.direction, source: record.source, destination: record.destination, reason, dryRun };
    }
    case "session-refused": {
      const { source, destination, reason } = incident.event;
      return { direction: "inbound", source, destination, reason, dryRun: false };
    }
    case "not-reauthenticated": {
      const { direction, address } = incident.event;
      return { direction, source: "", destination: address, reason: incident.reason, dryRun: false };
    }
    case "cut": {
      const { direction, source, destination } = incident.record;
      return { direction, source, destination, reason: incident.reason, dryRun: false };
    }
  }
}

const withoutPort = (endpoint: string): string => endpoint.slice(0, Math.max(0, endpoint.lastIndexOf(":")));

type Lines = { readonly count: number; readonly merged: boolean };

function writeIncident(options: AccessLogOptions, incident: Incident, { count, merged }: Lines): void {
  const blame = advice(keyOf(incident).reason);
  // Where the events share only direction and reason, naming one of them would accuse it of all.
  const some = merged ? { source: null, destination: null, peer: null } : {};
  switch (incident.kind) {
    case "refused":
    case "session-refused": {
      const what =
        incident.kind === "refused" ? refused(options, incident.event) : sessionRefused(options, incident.event);
      return options.log("warn", "connection_refused", { ...what, ...some, ...blame, count });
    }
    case "not-reauthenticated": {
      const { direction, address, peer, reason, detail } = incident.event;
      const whose = merged ? { address: null, peer: null } : { address, peer };
      const fields = { direction, reason, ...whose, project: options.project, detail, ...blame, count };
      return options.log("warn", "session_not_reauthenticated", fields);
    }
    case "cut": {
      const level = reasons[incident.reason].initiator === "local" ? "info" : "debug";
      return options.log(level, "connection_closed", { ...closed(options, incident.record), ...some, ...blame, count });
    }
  }
}

const advice = (reason: Reason): Fields => ({ hint: reasons[reason].hint, docs: `docs/errors.md#${reason}` });

const refused = (options: AccessLogOptions, { record, reason, detail, dryRun }: RefusalEvent): Fields => ({
  direction: record.direction,
  reason,
  source: record.source,
  destination: record.destination,
  ...whereTo(record),
  ...parties(options, record),
  ...(record.claimed === null ? {} : claims(record.claimed)),
  detail,
  dryRun,
});

const sessionRefused = (
  { project }: AccessLogOptions,
  { reason, source, destination, claimed, detail }: SessionRefusalEvent,
): Fields => ({
  direction: "inbound",
  reason,
  source,
  destination,
  ...claims(claimed),
  project,
  detail,
  dryRun: false,
});

/** What a refused caller says of itself. */
const claims = (claimed: string | null): Fields => ({
  peer: claimed !== null && parseSpiffeId(claimed) !== null ? claimed : null,
  peerVerified: false,
  claimed,
});

const opened = (options: AccessLogOptions, record: ConnectionRecord): Fields => ({
  direction: record.direction,
  source: record.source,
  destination: record.destination,
  ...whereTo(record),
  ...parties(options, record),
  transport: record.transport,
  openedAfterMs: record.openedAfterMs,
});

const closed = (options: AccessLogOptions, record: ConnectionRecord): Fields => ({
  ...opened(options, record),
  durationMs: record.endedAt - record.startedAt,
  bytesSent: record.bytesSent,
  bytesReceived: record.bytesReceived,
  closedBy: record.closedBy,
  reset: record.reset,
  reason: record.reason,
  detail: record.detail,
  traceId: record.trace?.traceId ?? null,
  tls:
    record.tls === null
      ? null
      : { version: record.tls.protocolVersion, cipher: record.tls.cipher, group: record.tls.group },
});

/** What was dialled, where it is not simply the destination. */
const whereTo = (record: ConnectionRecord): Fields => ({
  ...(record.upstream === record.destination || record.upstream === "" ? {} : { upstream: record.upstream }),
  ...(record.service === null ? {} : { service: record.service }),
});

const parties = (options: AccessLogOptions, record: ConnectionRecord): Fields => ({
  peer: record.tls?.peerIdentity ?? null,
  peerWorkload: record.peerWorkload,
  peerProject: record.peerProject,
  class: record.peerClass,
  project: options.project,
  mode: record.mode,
});
