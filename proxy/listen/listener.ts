/**
 * Binds the captured ports. Sockets come paused and with SO_LINGER {1, 0}, which Linux copies from the listener: what is
 * destroyed before a clean end is reset, whoever destroys it. What the caller says first is read meanwhile, up to a socket's
 * buffer, because nobody hears of its reset who does not read.
 */
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { keepAlive } from "../../lib/net/keep-alive.ts";
import { resetOnClose } from "./socket-options.ts";

export type ListenAt = { readonly host: string; readonly port: number };

/** Half-open sockets are the application's to finish, and small writes are not held back. */
export function captureServer(onConnection: (socket: Socket) => void): Server {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true, ...keepAlive }, (socket) => {
    socket.on("error", nothing);
    socket.read(0);
    onConnection(socket);
  });
  server.on("listening", () => resetOnClose(server, true));
  return server;
}

/** Until the relay listens, an error is only a reason why the dial that follows is for nothing. */
const nothing = (): void => {};

export type Bound = { readonly kind: "bound"; readonly port: number } | { readonly kind: "no-family" };

/** `no-family`: the machine has no such address family, which is no error for a pod of one family. */
export function listen(server: Server, at: ListenAt): Promise<Bound> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      if (error.code === "EAFNOSUPPORT" || error.code === "EADDRNOTAVAIL") resolve({ kind: "no-family" });
      else reject(error);
    };
    server.once("error", failed);
    server.listen({ host: at.host, port: at.port, backlog: 4096 }, () => {
      server.off("error", failed);
      // Later ones are those of accept (no descriptor left): the server goes on by itself, and so must the process.
      server.on("error", () => {});
      const address = server.address();
      resolve({ kind: "bound", port: typeof address === "object" && address !== null ? address.port : at.port });
    });
  });
}
