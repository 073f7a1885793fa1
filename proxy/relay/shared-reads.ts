/**
 * Reads of an application's socket go into one buffer that all of them share, and what has come is copied out.
 *
 * Node allocates 64 KiB for each read and gives most of it back: for messages of 1 KiB that was a fifth of a hop's CPU. Its option
 * `onread` avoids that, but there is none for accepted sockets, so what the option sets is set here, by the names that Node
 * gives it (Node 26: lib/net.js, initSocketHandle). Where they are missing, reads are as they were: slower, nothing else.
 *
 * Large reads are not copied: a socket that brings them is given a buffer of its own for each, as Node would. It holds one
 * while it waits for the next, so only so many may; beyond that a large read is copied too.
 */
import { Socket } from "node:net";
import type { Duplex } from "node:stream";

const size = 64 * 1024;
/** A read of at least that is part of a larger transfer. */
const large = 32 * 1024;
const mostOwners = 64;
let owners = 0;
const shared = Buffer.allocUnsafeSlow(size);
const sharedSmall = shared.subarray(0, 16 * 1024);
/** What reads go into that get no buffer of their own. */
let usual = shared;

/** What a read may bring from now on: less where what was read may have to wait. */
export function readAtMost(bytes: number): void {
  usual = bytes < size ? sharedSmall : shared;
}

type Handle = { readonly useUserBuffer?: (buffer: Uint8Array) => void };
type Fields = { [field: symbol]: unknown; readonly _handle?: Handle | null };

const known = Object.getOwnPropertySymbols(new Socket());
const named = (name: string): symbol | undefined => known.find(({ description }) => description === name);
const [ofBuffer, ofCallback, ofNext] = [named("kBuffer"), named("kBufferCb"), named("kBufferGen")];

/** After so many: what it takes to begin is 10 % of the CPU of a connection that carries one request. */
export const readsBefore = 4;

/**
 * Whether it does so from the next read on: only where nothing that was read waits to be taken, or it would come too late.
 * `data` is emitted as ever, and pausing works.
 */
export function shareReads(duplex: Duplex): boolean {
  if (!(duplex instanceof Socket) || duplex.readableLength > 0) return false;
  const socket = duplex as unknown as Fields;
  const handle = socket._handle;
  if (typeof handle?.useUserBuffer !== "function") return false;
  if (ofBuffer === undefined || ofCallback === undefined || ofNext === undefined) return false;
  /** Null: one of its own. */
  let current: Buffer | null = usual;
  let isFollowed = false;
  let count = 0;
  const giveBack = (): void => {
    if (current !== null) return;
    current = usual;
    owners--;
  };
  socket[ofBuffer] = usual;
  socket[ofCallback] = (read: number, buffer: Buffer): boolean => {
    count = read;
    duplex.emit("data", current === null ? buffer.subarray(0, read) : copyOf(buffer, read));
    return true;
  };
  /** What the next read goes into; undefined: the same again. */
  socket[ofNext] = (): Buffer | undefined => {
    if (count < large || usual !== shared || duplex.destroyed || (current !== null && owners >= mostOwners)) {
      if (current === usual) return undefined;
      giveBack();
      current = usual;
      return usual;
    }
    if (current !== null) owners++;
    if (!isFollowed) duplex.once("close", giveBack);
    isFollowed = true;
    current = null;
    return Buffer.allocUnsafeSlow(size);
  };
  handle.useUserBuffer(usual);
  return true;
}

function copyOf(buffer: Buffer, length: number): Buffer {
  const copy = Buffer.allocUnsafe(length);
  buffer.copy(copy, 0, 0, length);
  return copy;
}
