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

/** Tries the endpoints one after the other. */
export async function dialClear(endpoints: readonly Endpoint[], clock: Clock): Promise<ClearDial> {
  let errno = "";
  for (const endpoint of endpoints) {
    const dialled = await dialSocket(endpoint, clearDialTimeoutMs, { clock });
    if (dialled.kind === "socket") return { kind: "far", duplex: dialled.socket, session: null, endpoint };
    errno = dialled.errno;
  }
  return { kind: "failed", reason: "clear_dial_failed", detail: errno };
}

/**
 * Dials the application that a caller wants, exactly at the address and port that it named. The dial ends with the
 * caller, or callers that reset what they ask for would hold descriptors that no limit counts.
 */
export async function dialApplication(endpoint: Endpoint, caller: Duplex, clock: Clock): Promise<ClearDial> {
  const gone = { kind: "failed", reason: "caller_gone", detail: "before the application had answered" } as const;
  // Who resets in the same breath is gone after this turn. Dialled at once, a flood of such streams (RST_STREAM behind
  // each request) spent a source port and up to 1.3 ms in connect(2) on each, within one read: nobody else was served
  // for seconds.
  await nextTurn();
  if (caller.destroyed) return gone;
  const abandoned = new AbortController();
  const abandon = (): void => abandoned.abort();
  caller.once("close", abandon);
  const dialled = await dialSocket(endpoint, applicationDialTimeoutMs, { clock, signal: abandoned.signal });
  caller.off("close", abandon);
  if (dialled.kind === "socket") return { kind: "far", duplex: dialled.socket, session: null, endpoint };
  if (abandoned.signal.aborted) return gone;
  const reason = dialled.errno === "ECONNREFUSED" ? "application_refused" : "application_unreachable";
  return { kind: "failed", reason, detail: dialled.errno };
}

type DialledSocket =
  | { readonly kind: "socket"; readonly socket: Socket }
  | { readonly kind: "error"; readonly errno: string };

/** The socket is paused: what the far end says first is read by the relay. */
function dialSocket(
  { ip, port }: Endpoint,
  timeoutMs: number,
  { clock, signal }: { clock: Clock; signal?: AbortSignal },
): Promise<DialledSocket> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port, allowHalfOpen: true, noDelay: true, ...keepAlive });
    const abandon = (): void => void socket.destroy(new Error("abandoned"));
    signal?.addEventListener("abort", abandon);
    const timer = clock.after(timeoutMs, () => {
      resolve({ kind: "error", errno: "ETIMEDOUT" });
      socket.destroy();
    });
    socket.pause();
    socket.once("connect", () => {
      timer.cancel();
      signal?.removeEventListener("abort", abandon);
      resetOnClose(socket, true);
      resolve({ kind: "socket", socket });
    });
    // Stays for the socket's life: an error between connect and relay must not be unhandled.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      timer.cancel();
      resolve({ kind: "error", errno: error.code ?? error.message });
    });
  });
}
