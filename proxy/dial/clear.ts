/**
 * Dials an address in clear: an application of the own pod, or a destination outside. The socket is reset when it is
 * destroyed before both directions have ended, so that a truncated connection never looks complete.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import type { Endpoint } from "../../lib/net/address.ts";
import { resetOnClose } from "../listen/socket-options.ts";

/** The application may wait longer than this, but a dial that nobody answers must not hold a connection for minutes. */
export const clearDialTimeoutMs = 30_000;
/** The own application answers at once or not at all. */
export const applicationDialTimeoutMs = 5_000;

type Failed = { readonly kind: "failed"; readonly reason: Reason; readonly detail: string };
export type ClearDial = { readonly kind: "far"; readonly duplex: Socket; readonly session: null } | Failed;

/** Tries the endpoints one after the other. */
export async function dialClear(endpoints: readonly Endpoint[], clock: Clock): Promise<ClearDial> {
  let errno = "";
  for (const endpoint of endpoints) {
    const dialled = await dialSocket(endpoint, clearDialTimeoutMs, clock);
    if (dialled.kind === "socket") return { kind: "far", duplex: dialled.socket, session: null };
    errno = dialled.errno;
  }
  return { kind: "failed", reason: "clear_dial_failed", detail: errno };
}

/** Dials the application that a caller wants, exactly at the address and port that it named. */
export async function dialApplication(endpoint: Endpoint, clock: Clock): Promise<ClearDial> {
  const dialled = await dialSocket(endpoint, applicationDialTimeoutMs, clock);
  if (dialled.kind === "socket") return { kind: "far", duplex: dialled.socket, session: null };
  const reason = dialled.errno === "ECONNREFUSED" ? "application_refused" : "application_unreachable";
  return { kind: "failed", reason, detail: dialled.errno };
}

type DialledSocket =
  | { readonly kind: "socket"; readonly socket: Socket }
  | { readonly kind: "error"; readonly errno: string };

/** The socket is paused: what the far end says first is read by the relay. */
function dialSocket({ ip, port }: Endpoint, timeoutMs: number, clock: Clock): Promise<DialledSocket> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port, allowHalfOpen: true, noDelay: true });
    const timer = clock.after(timeoutMs, () => {
      resolve({ kind: "error", errno: "ETIMEDOUT" });
      socket.destroy();
    });
    socket.pause();
    socket.once("connect", () => {
      timer.cancel();
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
