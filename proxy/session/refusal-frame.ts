/**
 * How a proxy tells a peer that its certificate is refused: SETTINGS (RFC 9113 par. 3.4 demands it first), then GOAWAY
 * with INADEQUATE_SECURITY and the reason code as debug data. Written by hand, so that a refused peer never gets as far
 * as a session object. The code is all that it learns. Pure.
 */
import { constants } from "node:http2";
import { reasons } from "../../lib/errors/reasons.ts";
import type { Reason } from "../../lib/errors/reasons.ts";

const FRAME_SETTINGS = 0x04;
const FRAME_GOAWAY = 0x07;

/** Frame header: 24-bit length, type, no flags, stream 0 (RFC 9113 par. 4.1). */
const frame = (type: number, payload: Buffer): Buffer =>
  Buffer.concat([Buffer.from([0, payload.length >> 8, payload.length & 0xff, type, 0, 0, 0, 0, 0]), payload]);

export function refusalFrames(reason: Reason): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(constants.NGHTTP2_INADEQUATE_SECURITY, 4);
  return Buffer.concat([
    frame(FRAME_SETTINGS, Buffer.alloc(0)),
    frame(FRAME_GOAWAY, Buffer.concat([head, Buffer.from(reason)])),
  ]);
}

/** What a GOAWAY before the first stream means. Debug data of a peer is believed only if it is one of our codes. */
export function readRefusal(
  code: number,
  data: Uint8Array | undefined,
): { readonly reason: Reason; readonly detail: string } {
  const text = data === undefined ? "" : Buffer.from(data).toString("latin1");
  if (code !== constants.NGHTTP2_INADEQUATE_SECURITY) return { reason: "session_lost", detail: `GOAWAY ${code}` };
  return { reason: "peer_refused", detail: Object.hasOwn(reasons, text) ? text : "no reason given" };
}
