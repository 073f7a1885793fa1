/**
 * Windows, stream limits and memory of a session, chosen together.
 *
 * - A stream may have 256 KiB unread at its receiver: what a slow application can make its proxy hold. Once a session carries
 *   a bulk transfer over a distance it is 1 MiB: a window that is full stands still for a round trip, and 256 KiB gave 78 MB/s
 *   at 2 ms. Nearby it would gain nothing and make what shares the cores wait longer.
 *   Where much is unread in the whole proxy it is less, for all sessions: proxy/relay/backlog.ts.
 * - The session's window is the sum of these 256 KiB over all its streams, so that no number of slow readers can stall the
 *   others; what a session can make a proxy hold stays the same, whatever a stream may have.
 * - `maxSessionMemory` counts unread data too, and what exceeds it resets streams: it must lie above that sum. Node
 *   takes megabytes of 10^6.
 * - Resets: one application that aborts 2 000 connections a second must not end the streams of others; Node ends a
 *   session at 1000 RST_STREAM frames and 33 a second by default. Twice that much is abuse, and ends the session.
 * - Refusals: of what such an application has sent while this proxy had no CPU for half a second, Node refuses streams
 *   (ENHANCE_YOUR_CALM) and by default ends the session at the hundredth in a row, with the streams of all others. A caller
 *   of ours asks again on another session.
 */
import type { ClientSessionOptions, Http2Session, ServerSessionOptions, Settings } from "node:http2";
import type { TLSSocket } from "node:tls";
import { roundTrip } from "../listen/socket-options.ts";

export const streamsPerSession = 1000;
export const streamWindow = 256 * 1024;
export const bulkWindow = 1024 * 1024;
const sessionWindow = streamsPerSession * streamWindow;
export const maxHeaderBlock = 16 * 1024;

/**
 * The setting that says "I know re-authentication in band", of the range for experiments (RFC 9113, 11.3); others skip
 * what they do not know (6.5.2).
 */
export const reauthenticationSetting = 0xf7e1;

const settings: Settings = {
  enablePush: false,
  initialWindowSize: streamWindow,
  maxConcurrentStreams: streamsPerSession,
  maxHeaderListSize: maxHeaderBlock,
  headerTableSize: 4096,
  customSettings: { [reauthenticationSetting]: 1 },
};

const limits = {
  remoteCustomSettings: [reauthenticationSetting],
  maxSessionMemory: Math.ceil((sessionWindow * 1.25) / 1_000_000),
  maxHeaderListPairs: 32,
  maxOutstandingPings: 4,
  maxSettings: 16,
  maxSessionRejectedStreams: 5_000,
  streamResetBurst: 5_000,
  streamResetRate: 4_000,
};

export const clientOptions: ClientSessionOptions = { ...limits, settings };
export const serverOptions: ServerSessionOptions = { ...limits, settings };

/** Opens the session's window; Node's own default of 64 KiB is shared by all streams. */
export const openWindow = (session: Http2Session): void => session.setLocalWindowSize(sessionWindow);

/** Below it 256 KiB a round trip are 500 MB/s, more than a core encrypts. */
const nearUs = 500;

/** Null: nobody knows. */
export const isFar = (roundTripUs: number | null): boolean => roundTripUs === null || roundTripUs >= nearUs;

/** Whether the other end is so far away that a bulk transfer needs the wide window. */
export const isAway = (socket: TLSSocket): boolean => isFar(roundTrip(socket));

export const knowsReauthentication = (session: Http2Session): boolean =>
  session.remoteSettings.customSettings?.[reauthenticationSetting] === 1;

/** The peer's limit, of which we use 80 % but at least one, so that a dial never waits in Node's queue. */
export function streamBudget(session: Http2Session): number {
  const limit = Math.min(session.remoteSettings.maxConcurrentStreams ?? 100, streamsPerSession);
  return Math.max(Math.floor(limit * 0.8), Math.min(limit, 1));
}
