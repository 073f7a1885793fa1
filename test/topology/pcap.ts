/**
 * Reads a capture of an Ethernet device and searches it. Pure.
 *
 * A text counts where one packet holds it, and also where it is split over the segments of a TCP flow: the flow is put
 * together by sequence numbers, whatever the order of arrival and however often a segment was sent.
 */

export type Segment = { readonly sequence: number; readonly syn: boolean; readonly payload: Buffer };
export type Packet = {
  readonly frame: Buffer;
  readonly tcp: { readonly flow: string; readonly segment: Segment } | null;
};
/** One direction of one connection: contiguous pieces (one piece unless packets are missing). */
export type Flow = {
  readonly source: string;
  readonly destination: string;
  /** Its SYN was seen: the first piece begins with its first byte. */
  readonly fromStart: boolean;
  readonly pieces: readonly Buffer[];
};

const fileHeader = 24;
const recordHeader = 16;
const ethernetHeader = 14;

export function readPackets(file: Buffer): readonly Packet[] {
  if (file.length < fileHeader) return [];
  if (file.readUInt32LE(0) !== 0xa1b2c3d4 || file.readUInt32LE(20) !== 1)
    throw new Error("not a little-endian pcap of Ethernet");
  const packets: Packet[] = [];
  for (let at = fileHeader; at + recordHeader <= file.length;) {
    const captured = file.readUInt32LE(at + 8);
    if (captured !== file.readUInt32LE(at + 12)) throw new Error("the capture cut a packet");
    at += recordHeader;
    if (at + captured > file.length) break; // still being written
    const frame = file.subarray(at, at + captured);
    packets.push({ frame, tcp: readTcp(frame) });
    at += captured;
  }
  return packets;
}

function readTcp(frame: Buffer): Packet["tcp"] {
  if (frame.length < ethernetHeader + 20) return null;
  const type = frame.readUInt16BE(12);
  const ip = frame.subarray(ethernetHeader);
  if (type === 0x0800 && ip[9] === 6) {
    const header = (ip[0]! & 0x0f) * 4;
    const text = (at: number): string => [...ip.subarray(at, at + 4)].join(".");
    return readSegment(ip.subarray(header, ip.readUInt16BE(2)), text(12), text(16));
  }
  if (type === 0x86dd && ip[6] === 6) {
    const text = (at: number): string => `[${shortIpv6(ip.subarray(at, at + 16))}]`;
    return readSegment(ip.subarray(40, 40 + ip.readUInt16BE(4)), text(8), text(24));
  }
  return null;
}

function readSegment(tcp: Buffer, source: string, destination: string): Packet["tcp"] {
  if (tcp.length < 20) return null;
  const flow = `${source}:${tcp.readUInt16BE(0)} ${destination}:${tcp.readUInt16BE(2)}`;
  const payload = tcp.subarray((tcp[12]! >> 4) * 4);
  return { flow, segment: { sequence: tcp.readUInt32BE(4), syn: (tcp[13]! & 0x02) !== 0, payload } };
}

/** Only for addresses of the topology: the zeros in the middle are the longest run. */
function shortIpv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  return groups.join(":").replace(/(?:^|:)0(?::0)+(?:$|:)/, "::");
}

/** Every direction of every connection, in order of appearance. A new SYN on the same ports starts a new flow. */
export function flows(packets: readonly Packet[]): readonly Flow[] {
  type Entry = {
    readonly flow: string;
    readonly fromStart: boolean;
    readonly base: number;
    readonly segments: Segment[];
  };
  const open = new Map<string, Entry>();
  const all: Entry[] = [];
  for (const { tcp } of packets) {
    if (tcp === null) continue;
    const { flow, segment } = tcp;
    const base = segment.syn ? (segment.sequence + 1) >>> 0 : segment.sequence;
    let entry = open.get(flow);
    if (entry === undefined || (segment.syn && entry.base !== base)) {
      const fresh = { flow, fromStart: segment.syn, base, segments: [] };
      open.set(flow, fresh);
      all.push(fresh);
      entry = fresh;
    }
    if (segment.payload.length > 0) entry.segments.push(segment);
  }
  return all.map(({ flow, fromStart, base, segments }) => {
    const [source = "", destination = ""] = flow.split(" ");
    return { source, destination, fromStart, pieces: reassemble(base, segments) };
  });
}

function reassemble(base: number, segments: readonly Segment[]): readonly Buffer[] {
  const placed = segments
    .map(({ sequence, payload }) => ({ at: (sequence - base) | 0, payload }))
    .toSorted((one, other) => one.at - other.at);
  const pieces: Buffer[][] = [];
  let end = Number.NEGATIVE_INFINITY;
  for (const { at, payload } of placed) {
    if (at > end) pieces.push([]);
    const fresh = at > end ? payload : payload.subarray(Math.min(payload.length, end - at));
    pieces.at(-1)!.push(fresh);
    end = Math.max(end, at + payload.length);
  }
  return pieces.map((parts) => Buffer.concat(parts));
}

function occurrences(haystack: Buffer, needle: Buffer): number {
  let count = 0;
  for (let at = haystack.indexOf(needle); at >= 0; at = haystack.indexOf(needle, at + 1)) count++;
  return count;
}

/** How often the text crossed the wire, by the way of looking that finds more. */
export function countText(packets: readonly Packet[], text: string | Buffer): number {
  const needle = Buffer.from(text);
  if (needle.length === 0) throw new Error("an empty text is everywhere");
  const inPackets = packets.reduce((sum, { frame }) => sum + occurrences(frame, needle), 0);
  const outsideTcp = packets.reduce((sum, { frame, tcp }) => sum + (tcp === null ? occurrences(frame, needle) : 0), 0);
  const inFlows = flows(packets).reduce(
    (sum, { pieces }) => sum + pieces.reduce((n, piece) => n + occurrences(piece, needle), 0),
    0,
  );
  return Math.max(inPackets, outsideTcp + inFlows);
}
