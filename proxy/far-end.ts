/**
 * Dials the far end that a route allows, through the tunnel or in clear: never the one for the other.
 */
import type { Duplex } from "node:stream";
import type { Dataplane } from "./dataplane.ts";
import { dialClear } from "./dial/clear.ts";
import type { ConnectionRecord } from "./observe/events.ts";
import { formatTraceparent } from "./observe/trace-context.ts";
import { reset } from "./relay/relay.ts";
import { workloadAt } from "./route/classify.ts";
import { judgeDialledClear } from "./route/judge.ts";
import { routeKnown } from "./route/route.ts";
import type { Candidate, Route } from "./route/route.ts";
import { podName } from "./route/snapshot.ts";
import { openStream } from "./session/open-stream.ts";
import type { ClientSession } from "./session/session.ts";
import type { Reason } from "../lib/errors/reasons.ts";
import { formatEndpoint } from "../lib/net/address.ts";
import type { Endpoint } from "../lib/net/address.ts";

export type Allowed = Exclude<Route, { kind: "look-up" | "refuse" }>;
type Failure = { readonly kind: "failed"; readonly reason: Reason; readonly detail: string };
/** `session` is null for a connection in clear; `endpoint` is the one that answered. */
export type FarEnd = {
  readonly kind: "far";
  readonly duplex: Duplex;
  readonly session: ClientSession | null;
  readonly endpoint: Endpoint;
};

/** Who dials; null: the proxy for itself. */
type Dialler = { readonly plane: Dataplane; readonly caller: Duplex | null };

/** Dials what the route allows. For a Service that is up to three endpoints, one after the other. */
export async function dialFarEnd(
  decided: Allowed,
  record: ConnectionRecord,
  { plane, caller }: Dialler,
): Promise<FarEnd | Failure> {
  switch (decided.kind) {
    case "tunnel":
      record.transport = "tunnel";
      return await dialTunnel(decided.candidates, record, { plane, caller });
    case "local":
      record.transport = "local";
      record.upstream = formatEndpoint(decided.endpoint);
      return await dialClear([decided.endpoint], caller, plane.clock);
    case "clear":
    case "clear-if-tls":
      record.transport = "clear";
      return await dialOutside(decided.endpoints, record, { plane, caller });
  }
}

async function dialOutside(
  endpoints: readonly [Endpoint, ...Endpoint[]],
  record: ConnectionRecord,
  { plane, caller }: Dialler,
): Promise<FarEnd | Failure> {
  record.upstream = formatEndpoint(endpoints[0]);
  const far = await dialClear(endpoints, caller, plane.clock);
  const view = plane.directory.current();
  if (far.kind === "failed" || view === null) return far;
  // Of a Service's endpoints another one may have answered than the first.
  record.upstream = formatEndpoint(far.endpoint);
  const workload = workloadAt(view, far.endpoint.ip);
  record.peerWorkload = workload === null ? null : podName(workload);
  const verdict = judgeDialledClear(routeKnown(view, far.endpoint));
  if (verdict === null) return far;
  reset(far.duplex);
  return { kind: "failed", reason: verdict.reason, detail: verdict.detail };
}

async function dialTunnel(
  candidates: readonly Candidate[],
  record: ConnectionRecord,
  { plane, caller }: Dialler,
): Promise<FarEnd | Failure> {
  let failure: Failure = { kind: "failed", reason: "no_ready_endpoint", detail: "" };
  for (const { ip, port, tunnelPort, workload } of candidates) {
    record.upstream = formatEndpoint({ ip, port });
    record.peerWorkload = podName(workload);
    const { project, serviceAccount, uid } = workload;
    const answer = await openStream(plane.pool, {
      target: { endpoint: { ip, port: tunnelPort }, project, serviceAccount, podUid: uid },
      authority: { ip, port },
      traceparent: record.trace === null ? null : formatTraceparent(record.trace),
      caller,
    });
    if (answer.kind === "stream") {
      record.tls = answer.session.terms.tls;
      // Of an endpoint that was asked before this one.
      record.claimed = null;
      return { kind: "far", duplex: answer.stream, session: answer.session, endpoint: { ip, port } };
    }
    record.claimed = answer.claimed;
    failure = { kind: "failed", reason: answer.reason, detail: answer.detail };
    if (answer.final) break;
  }
  return failure;
}
