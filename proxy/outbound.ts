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
import { dialFarEnd } from "./far-end.ts";
import type { Allowed, FarEnd } from "./far-end.ts";
import { originalDestination } from "./listen/socket-options.ts";
import type { ConnectionRecord } from "./observe/events.ts";
import { OpenConnection } from "./open-connection.ts";
import type { FirstBytes } from "./route/first-bytes.ts";
import { judgeOutboundClear, judgeTunnel } from "./route/judge.ts";
import type { Decided, Known, Policy, Verdict } from "./route/policy.ts";
import { route, routeEndpoint } from "./route/route.ts";
import type { Route } from "./route/route.ts";
import type { Endpoint } from "../lib/net/address.ts";
import { formatEndpoint } from "../lib/net/address.ts";
import type { Reason } from "../lib/errors/reasons.ts";

export async function handleOutbound(socket: Socket, plane: Dataplane): Promise<void> {
  const rulesBefore = plane.rules;
  const record = newRecord("outbound", sourceOf(socket).text, plane);
  record.trace = plane.startTrace(undefined);
  const refuse = (failure: { reason: Reason; detail: string }): void => {
    socket.destroy();
    refused(record, plane.clock, failure);
  };

  const original = originalDestination(socket);
  if (original.kind === "none") return refuse({ reason: "original_destination_unknown", detail: original.errno });
  record.destination = formatEndpoint(original.endpoint);
  const uncertified = plane.whyUncertified();
  if (uncertified !== null) return refuse(uncertified);

  const decided = await decide(original.endpoint, plane);
  describeFarEnd(record, decided);
  if (decided.kind === "refuse") return refuse(decided);
  if (decided.kind === "clear-if-tls" && !(await firstBytesAreTls(socket, plane.clock))) {
    if (socket.destroyed) return refuse({ reason: "caller_gone", detail: "before its first bytes" });
    return refuse({ reason: "egress_not_allowed", detail: "the first bytes are no TLS ClientHello" });
  }

  const far = await dialFarEnd(decided, record, { plane, caller: socket });
  if (far.kind === "failed") return refuse(far);

  const spoken: Spoken = { is: decided.kind === "clear-if-tls" ? "yes" : "more" };
  const question = { destination: original.endpoint, spoken, plane };
  const verdict = await plane.judgeAnew(rulesBefore, far.duplex, (now) => judge(far, question, now));
  if (verdict !== null) return refuse(verdict);
  open(socket, far, { record, decided, question });
}

/** The decision, after the one look-up that an unknown address is worth. */
export function decide(destination: Endpoint, plane: Dataplane): Promise<Decided<Route>> {
  const pick = plane.pick();
  return plane.decide((known) => route({ destination, pick, ...known }));
}

/** Whether the first bytes were a TLS ClientHello, as soon as that is known. */
type Spoken = { is: FirstBytes };
export type Question = { readonly destination: Endpoint; readonly spoken: Spoken; readonly plane: Dataplane };

type Opening = {
  readonly record: ConnectionRecord;
  readonly decided: Allowed;
  readonly question: Question;
};

function open(client: Socket, far: FarEnd, { record, decided, question }: Opening): void {
  const { session, duplex: server } = far;
  const { dryRun } = decided;
  const { spoken, plane } = question;
  if (dryRun !== null && !dryRun.unlessTls) wouldBeRefused(record, dryRun);
  if (record.transport === "clear" && spoken.is !== "yes")
    watchFirstBytes(client, server, (said) => {
      spoken.is = said;
      if (dryRun?.unlessTls === true && said === "no") wouldBeRefused(record, dryRun);
    });
  const tunnel = session === null ? null : { session, stream: server };
  new OpenConnection({ client, server, record, plane, judge: (rules) => judge(far, question, rules), tunnel });
}

/** Whether a connection that is open, or about to be, may go on under these rules. */
export async function judge(
  { session, endpoint }: FarEnd,
  { destination, spoken, plane }: Question,
  rules: Policy,
): Promise<Verdict> {
  if (session !== null) return judgeTunnel(rules, session.terms.peer.id.project);
  const ask = (known: Known): Route => routeEndpoint({ destination, pick: 0, ...known }, endpoint);
  const now = await plane.decideAnew(ask);
  return judgeOutboundClear(now, spoken.is);
}
