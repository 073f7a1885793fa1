/**
 * Dials an address in clear: an application of the own pod, or a destination outside. The socket is reset when it is
 * destroyed before both directions have ended, so that a truncated connection never looks complete.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import type { Endpoint } from "../../lib/net/address.ts";
import { keepAlive } from "../../lib/net/keep-alive.ts";
import { resetOnClose } from "../listen/socket-options.ts";

/** The application may wait longer than this, but a dial that nobody answers must not hold a connection for minutes. */
export const clearDialTimeoutMs = 30_000;
/** The own application answers at once or not at all. */
export const applicationDialTimeoutMs = 5_000;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

type Failed = { readonly kind: "failed"; readonly reason: Reason; readonly detail: string };
export type ClearDial =
  | { readonly kind: "far"; readonly duplex: Socket; readonly session: null; readonly endpoint: Endpoint }
  | Failed;

/** Tries the endpoints one after the other, for as long as the caller is there. Null: the proxy itself, which stays. */
export async function dialClear(
  endpoints: readonly Endpoint[],
  caller: Duplex | null,
  clock: Clock,
): Promise<ClearDial> {
  let errno = "";
  for (const endpoint of endpoints) {
    const dialled = await dialSocket(endpoint, { timeoutMs: clearDialTimeoutMs, caller, clock });
    if (dialled.kind === "socket") return { kind: "far", duplex: dialled.socket, session: null, endpoint };
    if (dialled.kind === "gone") return gone;
    errno = dialled.errno;
  }
  return { kind: "failed", reason: "clear_dial_failed", detail: errno };
}

/** Dials the application that a caller wants, exactly at the address and port that it named. */
export async function dialApplication(endpoint: Endpoint, caller: Duplex, clock: Clock): Promise<ClearDial> {
  // Who resets in the same breath is gone after this turn. Dialled at once, a flood of such streams (RST_STREAM behind
  // each request) spent a source port and up to 1.3 ms in connect(2) on each, within one read: nobody else was served
  // for seconds.
  await nextTurn();
  const dialled = await dialSocket(endpoint, { timeoutMs: applicationDialTimeoutMs, caller, clock });
  if (dialled.kind === "socket") return { kind: "far", duplex: dialled.socket, session: null, endpoint };
  if (dialled.kind === "gone") return gone;
  const reason = dialled.errno === "ECONNREFUSED" ? "application_refused" : "application_unreachable";
  return { kind: "failed", reason, detail: dialled.errno };
}

const gone: ClearDial = { kind: "failed", reason: "caller_gone", detail: "before the far end had answered" };

type DialledSocket =
  | { readonly kind: "socket"; readonly socket: Socket }
  | { readonly kind: "error"; readonly errno: string }
  | { readonly kind: "gone" };

/**
 * The kernel chose for our end the very port that is dialled, and nobody listens there: such a socket is connected to
 * itself. It would echo what the caller says, and keep the application from its port.
 */
const metItself: DialledSocket = { kind: "error", errno: "ECONNREFUSED" };

type Dialling = { readonly timeoutMs: number; readonly caller: Duplex | null; readonly clock: Clock };

/**
 * The socket is paused: what the far end says first is read by the relay. The dial ends with its caller, or callers that reset
 * what they ask for would hold descriptors that no limit counts.
 */
function dialSocket({ ip, port }: Endpoint, { timeoutMs, caller, clock }: Dialling): Promise<DialledSocket> {
  if (caller?.destroyed === true) return Promise.resolve({ kind: "gone" });
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port, allowHalfOpen: true, noDelay: true, ...keepAlive });
    const giveUp = (outcome: DialledSocket): void => {
      settle(outcome);
      socket.destroy();
    };
    const abandon = (): void => giveUp({ kind: "gone" });
    const timer = clock.after(timeoutMs, () => giveUp({ kind: "error", errno: "ETIMEDOUT" }));
    const failed = (error: NodeJS.ErrnoException): void =>
      settle({ kind: "error", errno: error.code ?? error.message });
    const connected = (): void => {
      resetOnClose(socket, true);
      if (socket.localPort === port && socket.localAddress === ip) giveUp(metItself);
      else settle({ kind: "socket", socket });
    };
    const settle = (outcome: DialledSocket): void => {
      timer.cancel();
      // What is left here stays in memory for as long as the connection.
      caller?.off("close", abandon);
      socket.off("connect", connected);
      socket.off("error", failed);
      resolve(outcome);
    };
    caller?.on("close", abandon);
    socket.pause();
    // For the socket's life: an error between connect and relay must not be unhandled.
    socket.on("error", nothing);
    socket.on("error", failed);
    socket.on("connect", connected);
  });
}

const nothing = (): void => {};
