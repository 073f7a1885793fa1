/**
 * How a request on a session is refused, whatever it asked for: with a status and the reason's code in a header. For
 * verified peers only.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { reasons } from "../../lib/errors/reasons.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import { headerNames } from "./header-names.ts";

export function refuseRequest(stream: ServerHttp2Stream, status: number, reason: Reason): void {
  if (stream.destroyed || stream.headersSent) return;
  stream.respond({ ":status": status, [headerNames.reason]: reason }, { endStream: true });
  // Whatever the peer goes on to send is not read. A close in the same turn would overtake the answer.
  setImmediate(() => stream.close());
}

/** The peer's reason is believed only if it is one of our codes. */
export function toldReason(headers: IncomingHttpHeaders): Reason {
  const text = headers[headerNames.reason];
  return typeof text === "string" && Object.hasOwn(reasons, text) ? (text as Reason) : "peer_refused";
}
