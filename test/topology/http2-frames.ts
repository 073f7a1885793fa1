/**
 * HTTP/2 written by hand, for requests that no client library would send, and read as far as tests need it. Pure.
 * RFC 9113 (frames) and RFC 7541 (header fields, here always literal, without indexing and without Huffman coding).
 */

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const types = { data: 0, headers: 1, reset: 3, settings: 4, goaway: 7 } as const;
const endHeaders = 0x04;
const frameHeader = 9;

export type Field = readonly [name: string, value: string];

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(frameHeader);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A string literal (RFC 7541 section 5.2) of less than 127 bytes. */
function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length > 126) throw new Error("too long for this encoder");
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

/** A client's first flight: preface, SETTINGS, and one request with exactly these fields, which stays open. */
export const openingWith = (fields: readonly Field[], body: string): Buffer =>
  Buffer.concat([
    preface,
    frame(types.settings, 0, 0),
    frame(
      types.headers,
      endHeaders,
      1,
      Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)])),
    ),
    ...(body === "" ? [] : [frame(types.data, 0, 1, Buffer.from(body))]),
  ]);

export type Answered = {
  readonly status: number | null;
  /** Error code of RST_STREAM. */
  readonly reset: number | null;
  readonly goaway: { readonly code: number; readonly text: string } | null;
  /** Of the DATA frames. */
  readonly text: string;
};

/** Statuses that the static table holds whole (RFC 7541 appendix A). */
const indexedStatus: Readonly<Record<number, number>> = { 8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500 };

/** `:status` is the first field of every answer. */
function statusOf(block: Buffer): number | null {
  const first = block[0] ?? 0;
  if (first >= 0x80) return indexedStatus[first & 0x7f] ?? null;
  return (first & 0x3f) === 8 || (first & 0x0f) === 8 ? Number(block.subarray(2, 5).toString("latin1")) : null;
}

/** What a server has said so far on its side of the connection. */
export function readAnswer(bytes: Buffer): Answered {
  let answer: Answered = { status: null, reset: null, goaway: null, text: "" };
  for (let at = 0; at + frameHeader <= bytes.length;) {
    const length = bytes.readUIntBE(at, 3);
    const type = bytes[at + 3]!;
    const payload = bytes.subarray(at + frameHeader, at + frameHeader + length);
    at += frameHeader + length;
    if (payload.length < length) break;
    if (type === types.headers) answer = { ...answer, status: statusOf(payload) };
    if (type === types.reset) answer = { ...answer, reset: payload.readUInt32BE(0) };
    if (type === types.data) answer = { ...answer, text: answer.text + payload.toString("latin1") };
    if (type === types.goaway)
      answer = { ...answer, goaway: { code: payload.readUInt32BE(4), text: payload.subarray(8).toString("latin1") } };
  }
  return answer;
}
