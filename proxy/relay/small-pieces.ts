/**
 * What has to wait costs what it is long, not in how many pieces it came.
 *
 * Node keeps a Buffer for each DATA frame and each read, 400 octets beside what it holds, while windows and buffers count only
 * that: one octet a frame made a window of 256 KiB worth 100 MB of a proxy. So small pieces that come while nobody reads are
 * put into blocks. Nobody may read by `readable` meanwhile; who begins to read, or goes on, calls `release` first.
 */
import { Readable } from "node:stream";
import type { Duplex } from "node:stream";

/** Beside a piece of that size what Node adds is nothing. */
const small = 4 * 1024;
const blockSize = 16 * 1024;

type Block = { readonly bytes: Buffer; length: number };
const waiting = Symbol("small pieces that wait");
type Gathering = Duplex & { [waiting]?: Block | undefined };

/** From now on, for as long as it lives or until its `push` is another. */
export function gatherSmall(duplex: Duplex): void {
  duplex.push = pushGathered;
}

/** In the place of `push`. */
export function pushGathered(this: Duplex, chunk: unknown, encoding?: BufferEncoding): boolean {
  if (chunk !== null && this.readableFlowing !== true && (chunk as Buffer).length < small)
    return wait(this, chunk as Buffer);
  release(this);
  return Readable.prototype.push.call(this, chunk, encoding);
}

/** Whether more is wanted, as `push`: Node counts whole blocks. */
function wait(duplex: Gathering, piece: Buffer): boolean {
  let block = duplex[waiting];
  let wantsMore = true;
  if (block === undefined || block.length + piece.length > blockSize) {
    wantsMore = release(duplex);
    block = { bytes: Buffer.allocUnsafeSlow(blockSize), length: 0 };
    duplex[waiting] = block;
  }
  piece.copy(block.bytes, block.length);
  block.length += piece.length;
  return wantsMore;
}

/** Octets in memory that waits beside what Node has. */
export const lengthOfBlock = (duplex: Gathering): number => duplex[waiting]?.bytes.length ?? 0;

/** Puts what waits behind what Node has. */
export function release(duplex: Gathering): boolean {
  const block = duplex[waiting];
  if (block === undefined) return true;
  duplex[waiting] = undefined;
  return Readable.prototype.push.call(duplex, block.bytes.subarray(0, block.length));
}
