/**
 * The inbound paths: streams of verified sessions on 15008, and clear text captured on 15006.
 *
 *   15008: (session verified) -> request -> authorise -> dial the application -> answer 200 -> relay
 *   15006: accept -> original destination -> authorise by the source's class -> dial the application -> relay
 *
 * This is where the project's security is enforced: no caller gets past it, whatever its own proxy does.
 */
import type { ServerHttp2Stream, IncomingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import { describeFarEnd, newRecord, refused, sourceOf, wouldBeRefused } from "./connection.ts";
import type { Dataplane } from "./dataplane.ts";
import { dialApplication } from "./dial/clear.ts";
import { originalDestination } from "./listen/socket-options.ts";
import { OpenConnection } from "./open-connection.ts";
import { readNothingAhead } from "./relay/high-water-marks.ts";
import { gatherSmall } from "./relay/small-pieces.ts";
import { authorizeClear, authorizeStream, refusedCaller } from "./route/authorize.ts";
import type { ClearDecision } from "./route/authorize.ts";
import { judgeInboundClear } from "./route/judge.ts";
import type { Known, Policy, Verdict } from "./route/policy.ts";
import { answerReauthentication, asksReauthentication } from "./session/answer-reauthentication.ts";
import { readRequest } from "./session/connect-request.ts";
import type { ServerSession } from "./session/session.ts";
import { refuseRequest } from "./session/told-reason.ts";
import { formatEndpoint } from "../lib/net/address.ts";
import type { Reason } from "../lib/errors/reasons.ts";

/** A verified session: every stream of it is one connection, but for the request to re-authenticate it. */
export function handleSession(session: ServerSession, plane: Dataplane): void {
  session.facts.http2.on("stream", (stream, headers, _flags, rawHeaders) => {
    stream.on("error", nothing);
    if (session.isOver) return session.destroy("certificate_ended");
    if (asksReauthentication(headers))
      return plane.guard(stream, answerReauthentication(stream, session, plane.welcome));
    session.streamOpened();
    session.carry(stream);
    plane.guard(stream, handleStream(stream, { headers, rawHeaders }, { session, plane }));
  });
}

/** A stream that is reset before it is relayed must not end the process. */
const nothing = (): void => {};

type StreamContext = { readonly session: ServerSession; readonly plane: Dataplane };
type Request = { readonly headers: IncomingHttpHeaders; readonly rawHeaders: readonly string[] };

async function handleStream(
  stream: ServerHttp2Stream,
  request: Request,
  { session, plane }: StreamContext,
): Promise<void> {
  const rulesBefore = plane.rules;
  const { address, remote } = session.facts;
  const { peer, tls } = session.terms;
  const record = newRecord("inbound", address, plane);
  record.transport = "tunnel";
  record.peerProject = peer.id.project;
  record.trace = plane.startTrace(request.headers.traceparent);
  record.tls = tls;
  const refuse = (failure: { reason: Reason; detail: string; status: number }): void => {
    refuseRequest(stream, failure.status, failure.reason);
    refused(record, plane.clock, failure);
  };

  gatherSmall(stream);
  readNothingAhead(stream);
  const read = readRequest(request.headers, request.rawHeaders);
  if (read.kind === "invalid") return refuse({ reason: "bad_request", detail: read.detail, status: 400 });
  record.destination = read.authority;
  tls.group ??= read.group;

  const decided = authorizeStream({
    authority: read.authority,
    pod: read.pod,
    source: remote.ip,
    peer,
    self: plane.self,
    view: plane.directory.current(),
  });
  describeFarEnd(record, decided);
  // The certificate proves it, whoever the directory knows at the source address.
  record.peerProject = peer.id.project;
  if (decided.kind === "refuse") return refuse(decided);
  if (!plane.admit(stream)) return refuse({ reason: "over_limit", detail: "", status: 503 });

  record.upstream = formatEndpoint(decided.endpoint);
  const application = await dialApplication(decided.endpoint, stream, plane.clock);
  if (application.kind === "failed") return refuse({ ...application, status: 503 });
  const judge = (now: Policy): Verdict => refusedCaller(now, session.terms.peer.id, decided.endpoint.port);
  const verdict = await plane.judgeAnew(rulesBefore, application.duplex, judge);
  if (verdict !== null) return refuse({ ...verdict, status: 403 });
  if (decided.dryRun !== null) wouldBeRefused(record, decided.dryRun);
  if (!stream.destroyed) stream.respond({ ":status": 200 });
  const tunnel = { session, stream };
  new OpenConnection({ client: stream, server: application.duplex, record, plane, judge, tunnel });
}

/** Clear text, captured whatever port it was for. */
export async function handleCaptured(socket: Socket, plane: Dataplane): Promise<void> {
  const rulesBefore = plane.rules;
  const { ip: source, text } = sourceOf(socket);
  const record = newRecord("inbound", text, plane);
  record.transport = "clear";
  record.trace = plane.startTrace(undefined);
  const refuse = (failure: { reason: Reason; detail: string }): void => {
    socket.destroy();
    record.transport = "none";
    refused(record, plane.clock, failure);
  };

  gatherSmall(socket);
  readNothingAhead(socket);
  const original = originalDestination(socket);
  if (original.kind === "none") return refuse({ reason: "original_destination_unknown", detail: original.errno });
  record.destination = formatEndpoint(original.endpoint);
  const uncertified = plane.whyUncertified();
  if (uncertified !== null) return refuse(uncertified);
  if (source === null) return refuse({ reason: "source_unknown", detail: "no address" });

  const ask = (known: Known): ClearDecision =>
    authorizeClear({ destination: original.endpoint, source, self: plane.self, ...known });
  const decided = await plane.decide(ask);
  describeFarEnd(record, decided);
  if (decided.kind === "refuse") return refuse(decided);

  record.upstream = record.destination;
  const application = await dialApplication(original.endpoint, socket, plane.clock);
  if (application.kind === "failed") return refuse(application);
  const judge = async (): Promise<Verdict> => judgeInboundClear(await plane.decideAnew(ask));
  const verdict = await plane.judgeAnew(rulesBefore, application.duplex, judge);
  if (verdict !== null) return refuse(verdict);
  if (decided.dryRun !== null) wouldBeRefused(record, decided.dryRun);
  new OpenConnection({ client: socket, server: application.duplex, record, plane, judge, tunnel: null });
}
