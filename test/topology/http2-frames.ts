/**
 * HTTP/2 written by hand, for requests that no client library would send, and read as far as tests need it. Pure.
 * RFC 9113 (frames) and RFC 7541 (header fields, here always literal, without indexing and without Huffman coding).
 */

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
export const types = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
  unknown: 0xba,
} as const;
export const endStream = 0x01;
export const endHeaders = 0x04;
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

const literals = (fields: readonly Field[]): Buffer =>
  Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]));

/** A client's first flight: preface, SETTINGS, and one request with exactly these fields, which stays open. */
export const openingWith = (fields: readonly Field[], body: string): Buffer =>
  Buffer.concat([
    preface,
    frame(types.settings, 0, 0),
    frame(types.headers, endHeaders, 1, literals(fields)),
    ...(body === "" ? [] : [frame(types.data, 0, 1, Buffer.from(body))]),
  ]);

/** What is sent first, and the n-th piece after it. */
export type Flood = { readonly opening: Buffer; readonly next: (index: number) => Buffer };

const greeting = Buffer.concat([preface, frame(types.settings, 0, 0)]);
const request = (stream: number, authority: string, more: readonly Field[] = []): Buffer =>
  frame(types.headers, endHeaders, stream, literals([[":method", "CONNECT"], [":authority", authority], ...more]));
const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const setting = (id: number, value: number): Buffer => Buffer.concat([Buffer.from([0, id]), uint32(value)]);
const always = (piece: Buffer, opening: Buffer = greeting): Flood => ({ opening, next: () => piece });
/** Streams of a client are odd. */
const streamOf = (index: number): number => 2 * index + 1;
const filler: readonly Field[] = Array.from({ length: 60 }, (_, index) => [`x-${index}`, "y".repeat(100)] as const);

/** Kinds of abuse, each of a connection whose certificate is good. `authority` is one that would be served. */
export const floods: Readonly<Record<string, (authority: string) => Flood>> = {
  "rapid reset": (authority) => ({
    opening: greeting,
    next: (index) =>
      Buffer.concat([request(streamOf(index), authority), frame(types.reset, 0, streamOf(index), uint32(8))]),
  }),
  "streams without end": (authority) => ({
    opening: greeting,
    next: (index) => request(streamOf(index), authority),
  }),
  "streams that may get no byte back": (authority) => ({
    opening: Buffer.concat([preface, frame(types.settings, 0, 0, setting(4, 0))]),
    next: (index) =>
      Buffer.concat([
        request(streamOf(index), authority),
        frame(types.data, 0, streamOf(index), Buffer.alloc(8192, 1)),
      ]),
  }),
  "streams that end at once": (authority) => ({
    opening: greeting,
    next: (index) =>
      Buffer.concat([request(streamOf(index), authority), frame(types.data, endStream, streamOf(index))]),
  }),
  SETTINGS: () => always(frame(types.settings, 0, 0, setting(4, 65_535))),
  PING: () => always(frame(types.ping, 0, 0, Buffer.alloc(8))),
  "CONTINUATION without end": () =>
    always(
      frame(types.continuation, 0, 1, literals([["x-more", "y".repeat(100)]])),
      Buffer.concat([greeting, frame(types.headers, 0, 1, literals([[":method", "CONNECT"]]))]),
    ),
  "headers of 100 KB": (authority) => ({
    opening: greeting,
    next: (index) => {
      const stream = streamOf(index);
      const block = literals([
        [":method", "CONNECT"],
        [":authority", authority],
      ]);
      const rest = Array.from({ length: 15 }, (_, at) =>
        frame(types.continuation, at === 14 ? endHeaders : 0, stream, literals(filler)),
      );
      return Buffer.concat([frame(types.headers, 0, stream, block), ...rest]);
    },
  }),
  "trailers without end": (authority) =>
    always(frame(types.headers, endHeaders, 1, literals(filler)), Buffer.concat([greeting, request(1, authority)])),
  "empty DATA": (authority) => always(frame(types.data, 0, 1), Buffer.concat([greeting, request(1, authority)])),
  PRIORITY: () => ({ opening: greeting, next: (index) => frame(types.priority, 0, streamOf(index), Buffer.alloc(5)) }),
  WINDOW_UPDATE: () => always(frame(types.windowUpdate, 0, 0, uint32(1))),
  "frames of a kind that there is not": () => always(frame(types.unknown, 0xff, 0, Buffer.alloc(1024))),
  "a frame of 16 MB": () =>
    always(Buffer.alloc(16_384), Buffer.concat([greeting, Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])])),
  "a header block that is none": () => always(frame(types.headers, endHeaders, 1, Buffer.alloc(64, 0xff))),
  "a header named __proto__": (authority) => ({
    opening: greeting,
    next: (index) =>
      request(streamOf(index), authority, [
        ["__proto__", "x"],
        ["constructor", "y"],
      ]),
  }),
};

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
