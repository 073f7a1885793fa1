/**
 * Opens one CONNECT stream to a peer and waits for its answer. Until the answer is 200 nothing of the application was
 * sent, so a stream that the peer did not process (REFUSED_STREAM, GOAWAY, a session that died first) is tried once
 * more on another session; an answer is final. It ends with its caller, whose stream is reset.
 */
import { constants } from "node:http2";
import type { ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import type { Duplex } from "node:stream";
import type { Reason } from "../../lib/errors/reasons.ts";
import { formatEndpoint } from "../../lib/net/address.ts";
import type { Endpoint } from "../../lib/net/address.ts";
import { cancelled } from "../../lib/net/cancelled.ts";
import { headerNames } from "./header-names.ts";
import type { Dialled } from "./dial.ts";
import type { PeerTarget, SessionPool } from "./pool.ts";
import type { ClientSession } from "./session.ts";
import { toldReason } from "./told-reason.ts";

/** The far proxy dials its application within 5 s or says 503: who is silent for longer is dead, or hostile. */
export const answerTimeoutMs = 10_000;

export type StreamRequest = {
  readonly target: PeerTarget;
  /** The application's address at the peer. */
  readonly authority: Endpoint;
  readonly traceparent: string | null;
  /** Null: the proxy itself, which stays. */
  readonly caller: Duplex | null;
};

export type OpenedStream =
  | { readonly kind: "stream"; readonly stream: ClientHttp2Stream; readonly session: ClientSession }
  | StreamFailure;

export type StreamFailure = {
  readonly kind: "failed";
  readonly reason: Reason;
  readonly detail: string;
  /** The SPIFFE ID that the peer showed and was refused with, where one could be read. */
  readonly claimed: string | null;
  /** The peer decided (400, 403), or nobody waits any more: another endpoint of the Service is not asked. */
  readonly final: boolean;
};

type Answer = OpenedStream | { readonly kind: "unprocessed"; readonly detail: string };

export async function openStream(pool: SessionPool, request: StreamRequest): Promise<OpenedStream> {
  let lost = "";
  for (let attempt = 0; attempt < 2; attempt++) {
    const dialled = await whileThere(request.caller, pool.session(request.target));
    if (dialled === null) return callerGone;
    if (dialled.kind === "failed") {
      if (dialled.reason !== "session_lost") return { ...dialled, final: false };
      lost = dialled.detail;
      continue;
    }
    const answer = await ask(dialled.session, request);
    if (answer.kind !== "unprocessed") return answer;
    dialled.session.avoid();
    lost = answer.detail;
  }
  return { kind: "failed", reason: "session_lost", detail: lost, claimed: null, final: false };
}

/** Null where the caller goes first: the place that it would have had is given back. */
function whileThere(caller: Duplex | null, coming: Promise<Dialled>): Promise<Dialled | null> {
  if (caller === null) return coming;
  return new Promise((resolve, reject) => {
    const left = (): void => resolve(null);
    caller.on("close", left);
    coming.then((dialled) => {
      caller.off("close", left);
      if (caller.destroyed && dialled.kind === "session") dialled.session.streamClosed();
      resolve(caller.destroyed ? null : dialled);
    }, reject);
  });
}

function ask(session: ClientSession, request: StreamRequest): Promise<Answer> {
  // Between the pool's choice and here no turn has passed, but a shared dial resolves many waiters in one: look again.
  if (!session.usable) {
    session.streamClosed();
    return Promise.resolve({ kind: "unprocessed", detail: "the session was retired" });
  }
  const { caller } = request;
  const stream = session.facts.http2.request(requestHeaders(session, request), { endStream: false });
  session.carry(stream);
  stream.on("error", nothing);
  return new Promise((resolve) => {
    const timer = session.facts.clock.after(answerTimeoutMs, () => {
      settle(unanswered);
      session.avoid();
      stream.destroy(cancelled);
    });
    const answered = (headers: ResponseHeaders): void => settle(judge(stream, session, headers));
    const gone = (): void => settle(closedBefore(stream));
    const left = (): void => {
      settle(callerGone);
      stream.destroy(cancelled);
    };
    const settle = (answer: Answer): void => {
      timer.cancel();
      // What is left here stays in memory for as long as the connection.
      stream.off("response", answered);
      stream.off("close", gone);
      caller?.off("close", left);
      resolve(answer);
    };
    stream.on("response", answered);
    stream.on("close", gone);
    caller?.on("close", left);
  });
}

/** The close that follows an error says it too; without a listener the process would end. */
const nothing = (): void => {};

type ResponseHeaders = IncomingHttpHeaders & { ":status"?: number | undefined };

const callerGone: StreamFailure = {
  kind: "failed",
  reason: "caller_gone",
  detail: "before the far end had answered",
  claimed: null,
  final: true,
};

const unanswered: Answer = {
  kind: "failed",
  reason: "peer_timeout",
  detail: `no answer within ${answerTimeoutMs} ms`,
  claimed: null,
  final: false,
};

function requestHeaders(session: ClientSession, request: StreamRequest): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {
    ":method": "CONNECT",
    ":authority": formatEndpoint(request.authority),
    [headerNames.pod]: request.target.podUid,
  };
  if (session.terms.tls.group !== null) headers[headerNames.group] = session.terms.tls.group;
  if (request.traceparent !== null) headers[headerNames.trace] = request.traceparent;
  return headers;
}

/** An answer that is not 200 ends the attempt for good. */
function judge(stream: ClientHttp2Stream, session: ClientSession, headers: ResponseHeaders): Answer {
  const status = headers[":status"];
  if (status === 200) return { kind: "stream", stream, session };
  stream.destroy();
  const detail = `the peer's proxy answered ${status}`;
  return { kind: "failed", reason: toldReason(headers), detail, claimed: null, final: status !== 503 };
}

function closedBefore(stream: ClientHttp2Stream): Answer {
  return {
    kind: "unprocessed",
    detail: `closed before an answer, code ${stream.rstCode ?? constants.NGHTTP2_NO_ERROR}`,
  };
}
