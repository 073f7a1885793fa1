/** The search for a canary is evidence in other tests: it must find a text however the network cut and ordered it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { draw } from "../../property/seed.ts";
import { countText, flows, readPackets } from "../../topology/pcap.ts";
import { inspectTls } from "../../topology/tls-on-wire.ts";

type Segment = { readonly from?: number; readonly sequence: number; readonly payload?: string; readonly syn?: boolean };

/** An Ethernet frame with one TCP segment from 10.77.0.2 to 10.77.0.3:80, or of IPv6 between fd77::2 and fd77::3. */
function frame({ from = 5000, sequence, payload = "", syn = false }: Segment, v6 = false): Buffer {
  const data = Buffer.from(payload, "latin1");
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(from, 0);
  tcp.writeUInt16BE(80, 2);
  tcp.writeUInt32BE(sequence >>> 0, 4);
  tcp[12] = 5 << 4;
  tcp[13] = syn ? 0x02 : 0x10;
  const ip = v6 ? Buffer.alloc(40) : Buffer.alloc(20);
  if (v6) {
    ip.writeUInt16BE(20 + data.length, 4);
    ip[6] = 6;
    Buffer.from("fd770000000000000000000000000002fd770000000000000000000000000003", "hex").copy(ip, 8);
  } else {
    ip[0] = 0x45;
    ip.writeUInt16BE(40 + data.length, 2);
    ip[9] = 6;
    Buffer.from([10, 77, 0, 2, 10, 77, 0, 3]).copy(ip, 12);
  }
  return ethernet(v6 ? 0x86dd : 0x0800, Buffer.concat([ip, tcp, data]));
}

function ethernet(type: number, content: Buffer): Buffer {
  const header = Buffer.alloc(14);
  header.writeUInt16BE(type, 12);
  return Buffer.concat([header, content]);
}

function pcap(frames: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt32LE(1, 20);
  const records = frames.map((bytes) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(bytes.length, 8);
    record.writeUInt32LE(bytes.length, 12);
    return Buffer.concat([record, bytes]);
  });
  return Buffer.concat([header, ...records]);
}

const read = (segments: readonly Segment[], v6 = false): ReturnType<typeof readPackets> =>
  readPackets(pcap(segments.map((segment) => frame(segment, v6))));

test("a text is found whole, split, out of order and across a retransmission, by both families", () => {
  for (const v6 of [false, true]) {
    assert.equal(countText(read([{ sequence: 1, payload: "a canary here" }], v6), "canary"), 1);
    assert.equal(
      countText(
        read(
          [
            { sequence: 1, payload: "can" },
            { sequence: 4, payload: "ary" },
          ],
          v6,
        ),
        "canary",
      ),
      1,
    );
    assert.equal(
      countText(
        read(
          [
            { sequence: 0, syn: true },
            { sequence: 4, payload: "ary" },
            { sequence: 1, payload: "can" },
          ],
          v6,
        ),
        "canary",
      ),
      1,
    );
    assert.equal(
      countText(
        read(
          [
            { sequence: 1, payload: "can" },
            { sequence: 1, payload: "can" },
            { sequence: 2, payload: "anary" },
          ],
          v6,
        ),
        "canary",
      ),
      1,
    );
  }
});

test("however a stream is cut, ordered and repeated, the text in it is found", () => {
  const text = "0123456789-canary-9876543210";
  const piece = fc.tuple(fc.nat(text.length - 1), fc.integer({ min: 1, max: 9 }));
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 12 }),
      fc.array(fc.integer(), { minLength: 8, maxLength: 8 }),
      fc.nat(0xffff_ffff),
      (extra, order, start) => {
        const cover = Array.from({ length: Math.ceil(text.length / 4) }, (_, index) => [index * 4, 4] as const);
        const segments = [...cover, ...extra].map(([at, length], index) => ({
          segment: { sequence: start + 1 + at, payload: text.slice(at, at + length) },
          key: order[index % order.length]! ^ (index * 2_654_435_761),
        }));
        const shuffled = segments.toSorted((one, other) => one.key - other.key).map(({ segment }) => segment);
        assert.equal(countText(read([{ sequence: start, syn: true }, ...shuffled]), text), 1);
      },
    ),
    draw(300),
  );
});

test("two connections from the same port are two flows, and a text is not put together from both", () => {
  const packets = read([
    { sequence: 100, syn: true },
    { sequence: 101, payload: "can" },
    { sequence: 900, syn: true },
    { sequence: 901, payload: "ary" },
  ]);
  assert.equal(flows(packets).length, 2);
  assert.equal(countText(packets, "canary"), 0);
});

test("a flow that was there before the capture is told from one that began in it", () => {
  const before = { sequence: 7, payload: "can" };
  const [first, second] = flows(read([before, { sequence: 900, syn: true }, { sequence: 901, payload: "ary" }]));
  assert.deepEqual([first!.fromStart, second!.fromStart], [false, true]);
});

test("a missing segment leaves two pieces", () => {
  const [flow] = flows(
    read([
      { sequence: 1, payload: "can" },
      { sequence: 7, payload: "ary" },
    ]),
  );
  assert.deepEqual(flow!.pieces.map(String), ["can", "ary"]);
  assert.deepEqual([flow!.source, flow!.destination], ["10.77.0.2:5000", "10.77.0.3:80"]);
});

test("what is not TCP is searched as it is, and a capture that cut a packet is refused", () => {
  assert.equal(countText(readPackets(pcap([ethernet(0x0806, Buffer.from("some canary"))])), "canary"), 1);
  const cut = pcap([frame({ sequence: 1, payload: "canary" })]);
  cut.writeUInt32LE(9_999, 24 + 12);
  assert.throws(() => readPackets(cut), /cut a packet/);
  assert.throws(() => countText([], ""), /everywhere/);
});

test("a flow is TLS only from its first to its last byte", () => {
  const record = (type: number, body: string): string =>
    Buffer.concat([Buffer.from([type, 3, 3, 0, body.length]), Buffer.from(body)]).toString("latin1");
  const inspect = (payload: string): boolean => inspectTls(flows(read([{ sequence: 1, payload }]))[0]!).recordsOnly;
  assert.equal(inspect(record(22, "hello") + record(23, "secret")), true);
  assert.equal(inspect(record(22, "hello") + "GET / HTTP/1.1\r\n"), false);
  assert.equal(inspect("GET / HTTP/1.1\r\n"), false);
});
