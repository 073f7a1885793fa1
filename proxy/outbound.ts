/**
 * The outbound path: what the application dialled, captured on 15001.
 *
 *   accept -> original destination -> route -> dial -> relay
 *
 * Nothing of the application is sent before the far end is who it has to be. Whatever fails on the way is a refusal with
 * a reason, and towards the application an RST: the listener's sockets carry SO_LINGER {1, 0}, so destroying one resets.
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { closed, describeFarEnd, newRecord, opened, refused, sourceOf, wouldBeRefused } from "./connection.ts";
import type { Dataplane } from "./dataplane.ts";
import { dialClear } from "./dial/clear.ts";
import { firstBytesAreTls, watchForClear } from "./dial/first-bytes.ts";
import { originalDestination, resetOnClose } from "./listen/socket-options.ts";
import { formatTraceparent } from "./observe/trace-context.ts";
import type { ConnectionRecord } from "./observe/events.ts";
import { Relay } from "./relay/relay.ts";
import { route } from "./route/route.ts";
import type { Candidate, Route } from "./route/route.ts";
import { openStream } from "./session/open-stream.ts";
import type { ClientSession } from "./session/session.ts";
import type { Endpoint } from "../lib/net/address.ts";
import { formatEndpoint } from "../lib/net/address.ts";
import type { Reason } from "../lib/errors/reasons.ts";

type Failure = { readonly kind: "failed"; readonly reason: Reason; readonly detail: string };
/** `session` is null for a connection in clear. */
export type Far = { readonly kind: "far"; readonly duplex: Duplex; readonly session: ClientSession | null } | Failure;

export async function handleOutbound(socket: Socket, plane: Dataplane): Promise<void> {
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

  const { dryRun } = decided;
  if (dryRun !== null) {
    if (dryRun.unlessTls) watchForClear(socket, far.duplex, () => wouldBeRefused(record, dryRun));
    else wouldBeRefused(record, dryRun);
  }
  relay(socket, far, { record, plane });
}

/** The decision, after the one look-up that an unknown address is worth. */
export async function decide(destination: Endpoint, plane: Dataplane): Promise<Route> {
  const pick = plane.pick();
  const first = route({ destination, view: plane.directory.current(), pick, lookUp: null });
  if (first.kind !== "look-up") return first;
  const lookUp = await plane.directory.lookUp(first.ip);
  return route({ destination, view: plane.directory.current(), pick, lookUp });
}

/** Dials what the route allows. For a Service that is up to three endpoints, one after the other. */
export async function dialFarEnd(
  decided: Exclude<Route, { kind: "look-up" | "refuse" }>,
  record: ConnectionRecord,
  plane: Dataplane,
): Promise<Far> {
  switch (decided.kind) {
    case "tunnel":
      record.transport = "tunnel";
      return await dialTunnel(decided.candidates, record, plane);
    case "local":
      record.transport = "local";
      record.upstream = formatEndpoint(decided.endpoint);
      return await dialClear([decided.endpoint], plane.clock);
    case "clear":
    case "clear-if-tls":
      record.transport = "clear";
      record.upstream = formatEndpoint(decided.endpoints[0]);
      return await dialClear(decided.endpoints, plane.clock);
  }
}

async function dialTunnel(candidates: readonly Candidate[], record: ConnectionRecord, plane: Dataplane): Promise<Far> {
  let failure: Failure = { kind: "failed", reason: "no_ready_endpoint", detail: "" };
  for (const { ip, port, tunnelPort, workload } of candidates) {
    record.upstream = formatEndpoint({ ip, port });
    record.peerWorkload = `${workload.project}/${workload.pod}`;
    const { project, serviceAccount, uid } = workload;
    const answer = await openStream(plane.pool, {
      target: { endpoint: { ip, port: tunnelPort }, project, serviceAccount, podUid: uid },
      authority: { ip, port },
      traceparent: record.trace === null ? null : formatTraceparent(record.trace),
    });
    if (answer.kind === "stream") {
      record.tls = answer.session.terms.tls;
      return { kind: "far", duplex: answer.stream, session: answer.session };
    }
    failure = { kind: "failed", reason: answer.reason, detail: answer.detail };
    if (answer.final) break;
  }
  return failure;
}

function relay(
  socket: Socket,
  far: Extract<Far, { kind: "far" }>,
  { record, plane }: { record: ConnectionRecord; plane: Dataplane },
): void {
  const { session } = far;
  opened(record, plane.clock);
  const bulk = { counted: false };
  const connection = new Relay({
    client: socket,
    server: far.duplex,
    disarm: (side) => resetOnClose(side, false),
    bulk: () => {
      if (session === null) return;
      bulk.counted = true;
      session.bulkStreams++;
    },
    done: (outcome) => {
      if (bulk.counted && session !== null) session.bulkStreams--;
      plane.relays.delete(connection);
      closed(record, plane.clock, { outcome, cut: session?.whyCut(far.duplex) ?? null });
    },
  });
  plane.relays.add(connection);
  connection.start();
}
