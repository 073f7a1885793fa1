/**
 * How much Node keeps of what nobody takes, for a stream or socket that exists. Nothing public changes it then. Were the fields gone,
 * more would be kept, nothing else.
 */
import type { Duplex } from "node:stream";

type State = { highWaterMark?: number } | undefined;
type States = { readonly _readableState?: State; readonly _writableState?: State };

function set(state: State, mark: number): void {
  if (state?.highWaterMark !== undefined) state.highWaterMark = mark;
}

/**
 * Reading stops with the first piece that nobody takes. By itself Node reads on for 64 KiB, and of a stream it tells the peer that
 * these were taken: with a window of 16 KiB 80 were held. While somebody reads it makes no difference.
 */
export const readNothingAhead = (duplex: Duplex): void => set((duplex as States)._readableState, 1);

/** So much may wait to be sent before whoever writes is told to stop. */
export const queueAtMost = (duplex: Duplex, octets: number): void =>
  set((duplex as States)._writableState, Math.min(octets, usual));
const usual = 64 * 1024;
