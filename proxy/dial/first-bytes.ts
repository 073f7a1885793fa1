/** Looks at what an application says first, where the answer decides whether it may go out in clear. Nothing is consumed. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../../lib/clock/clock.ts";
import { looksLikeClientHello } from "../route/first-bytes.ts";
import type { FirstBytes } from "../route/first-bytes.ts";

/** An application that speaks TLS speaks first, and at once. */
const patienceMs = 5_000;

/** Whether the first bytes are a TLS ClientHello; they stay in the socket. False also when none come in time. */
export function firstBytesAreTls(socket: Socket, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    let seen: Buffer = Buffer.alloc(0);
    const settle = (answer: boolean): void => {
      timer.cancel();
      // What is left here stays in memory for as long as the connection.
      socket.off("readable", read);
      socket.off("end", giveUp);
      socket.off("close", giveUp);
      if (seen.length > 0 && !socket.destroyed) socket.unshift(seen);
      resolve(answer);
    };
    const giveUp = (): void => settle(false);
    const read = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const verdict = looksLikeClientHello(seen);
      if (verdict !== "more") settle(verdict === "yes");
    };
    const timer = clock.after(patienceMs, giveUp);
    // Reading began with the connection, so the end may have been seen before.
    if (socket.readableEnded || socket.destroyed) return giveUp();
    // The close that follows an error says it too.
    socket.on("readable", read);
    socket.on("end", giveUp);
    socket.on("close", giveUp);
  });
}

/**
 * Calls back once with whether the connection is TLS: its client speaks first, with a ClientHello. `more`: too little
 * came at once to tell.
 */
export function watchFirstBytes(client: Socket, server: Duplex, said: (spoken: FirstBytes) => void): void {
  const forget = (): void => {
    client.off("data", fromClient);
    server.off("data", fromServer);
  };
  const fromClient = (chunk: Buffer): void => {
    forget();
    said(looksLikeClientHello(chunk));
  };
  const fromServer = (): void => {
    forget();
    said("no");
  };
  client.on("data", fromClient);
  server.on("data", fromServer);
}
