/**
 * The outbound path: what the application dialled, captured on 15001.
 *
 *   accept -> original destination -> route -> dial -> relay
 *
 * Nothing of the application is sent before the far end is who it has to be. Whatever fails on the way is a refusal with
 * a reason, and towards the application an RST: the listener's sockets carry SO_LINGER {1, 0}, so destroying one resets.
 */
import type { Socket } from "node:net";
import { describeFarEnd, newRecord, refused, sourceOf, wouldBeRefused } from "./connection.ts";
import type { Dataplane } from "./dataplane.ts";
import { firstBytesAreTls, watchFirstBytes } from "./dial/first-bytes.ts";
import type { Spoken } from "./dial/first-bytes.ts";
import { dialFarEnd } from "./far-end.ts";
import type { Allowed, FarEnd } from "./far-end.ts";
import { originalDestination } from "./listen/socket-options.ts";
import type { ConnectionRecord } from "./observe/events.ts";
import { OpenConnection } from "./open-connection.ts";
import { judgeOutboundClear, judgeTunnel } from "./route/judge.ts";
import type { Policy, Verdict } from "./route/policy.ts";
import { route, routeEndpoint } from "./route/route.ts";
import type { Route } from "./route/route.ts";
import type { Endpoint } from "../lib/net/address.ts";
import { formatEndpoint } from "../lib/net/address.ts";
import type { Reason } from "../lib/errors/reasons.ts";

export async function handleOutbound(socket: Socket, plane: Dataplane): Promise<void> {
  const { rules } = plane;
  const record = newRecord("outbound", sourceOf(socket).text, plane);
  record.trace = plane.startTrace(undefined);
  const refuse = (failure: { reason: Reason; detail: string }): void => {
    socket.destroy();
    refused(record, plane.clock, failure);
  };

  const original = originalDestination(socket);
  if (original.kind === "none") return refuse({ reason: "original_destination_unknown", detail: original.errno });
  record.destination = formatEndpoint(original.endpoint);

  const decided = await decide(original.endpoint, plane);
  if (decided.kind === "look-up") return refuse({ reason: "destination_unknown", detail: "no answer" });
  describeFarEnd(record, decided);
  if (decided.kind === "refuse") return refuse(decided);
  if (decided.kind === "clear-if-tls" && !(await firstBytesAreTls(socket, plane.clock))) {
    return refuse({ reason: "egress_not_allowed", detail: "the first bytes are no TLS ClientHello" });
  }

  const far = await dialFarEnd(decided, record, plane);
  if (far.kind === "failed") return refuse(far);

  record.upstream = formatEndpoint(far.endpoint);
  open(socket, far, { record, plane, rules, destination: original.endpoint, decided });
}

/** The decision, after the one look-up that an unknown address is worth. */
export function decide(destination: Endpoint, plane: Dataplane): Promise<Route> {
  const pick = plane.pick();
  return plane.decide((known) => route({ destination, pick, ...known }));
}

type Opening = {
  readonly record: ConnectionRecord;
  readonly plane: Dataplane;
  readonly rules: Policy | null;
  readonly destination: Endpoint;
  readonly decided: Allowed;
};

function open(client: Socket, far: FarEnd, { record, plane, rules, destination, decided }: Opening): void {
  const { session, duplex: server } = far;
  const { dryRun } = decided;
  let spoken: Spoken = "more";
  if (dryRun !== null && !dryRun.unlessTls) wouldBeRefused(record, dryRun);
  if (record.transport === "clear")
    watchFirstBytes(client, server, (said) => {
      spoken = said;
      if (dryRun?.unlessTls === true && said === "no") wouldBeRefused(record, dryRun);
    });
  let bulk = false;
  new OpenConnection({
    client,
    server,
    record,
    plane,
    rules,
    judge: (now) => judge(far, { destination, spoken, rules: now }, plane),
    bulk: () => {
      if (session === null) return;
      bulk = true;
      session.bulkStreams++;
    },
    ended: () => {
      if (bulk && session !== null) session.bulkStreams--;
      return session?.whyCut(server) ?? null;
    },
  });
}

type Question = { readonly destination: Endpoint; readonly spoken: Spoken; readonly rules: Policy };

/** Whether a connection that is open may go on under these rules. */
export async function judge(
  { session, endpoint }: FarEnd,
  { destination, spoken, rules }: Question,
  plane: Dataplane,
): Promise<Verdict> {
  if (session !== null) return judgeTunnel(rules, session.terms.peer.id.project);
  const now = await plane.decide((known) => routeEndpoint({ destination, pick: 0, ...known }, endpoint));
  return judgeOutboundClear(now, spoken);
}
