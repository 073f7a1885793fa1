/**
 * Puts what arrives for a socket in one turn of the event loop into one write.
 *
 * A TLS record of 16 384 octets holds a frame's header of 9, so a 16 KiB frame reaches the relay as two pieces, one of
 * them tiny, and 64 KiB from the network as eight. Written one by one they were 17 000 system calls for 133 MB, each
 * with a packet and a wake-up of the application. Small messages are not held back: only a piece of at least
 * `gatherFrom` octets begins a gathering, which ends with the turn.
 */
import type { Writable } from "node:stream";

export const gatherFrom = 8 * 1024;

let corked: Writable[] = [];

/** To be called before the write of a large piece. */
export function gather(sink: Writable): void {
  if (sink.writableCorked > 0) return;
  sink.cork();
  if (corked.push(sink) === 1) setImmediate(release);
}

function release(): void {
  const sinks = corked;
  corked = [];
  for (const sink of sinks) sink.uncork();
}
