/**
 * Small read-only pages over plain HTTP: health, metrics, status. GET only, bounded in time, size and number of
 * connections; nothing that a caller sends is looked at but what `answer` reads. Where all connections are taken, the oldest
 * of the address that holds most of them makes room for the next: nobody keeps a probe out by holding connections, nor
 * by opening more and more of them.
 */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

export type Page = { readonly status: number; readonly type: string; readonly text: string };

export const plainPage = (status: number, text: string): Page => ({
  status,
  type: "text/plain; charset=utf-8",
  text: `${text}\n`,
});

export const notFound: Page = plainPage(404, "not found");

const bounds = {
  requestTimeout: 5_000,
  headersTimeout: 5_000,
  keepAliveTimeout: 5_000,
  maxHeaderSize: 8_192,
  // How often Node looks whether one of the times is over.
  connectionsCheckingInterval: 1_000,
};
export const mostConnections = 64;

/** Null: the connection ends without an answer, for a caller to whom any answer is good. */
type Answer = Page | null;

/** A page may take its time; what asks for it waits no longer than it likes itself. */
export function pageServer(
  answer: (request: IncomingMessage) => Answer | Promise<Answer>,
  most = mostConnections,
): Server {
  const server = createServer(bounds, (request, response) => {
    const page = request.method === "GET" ? answer(request) : plainPage(405, "only GET");
    if (page instanceof Promise)
      page.then(
        (late) => send(response, late),
        () => send(response, plainPage(500, "failed")),
      );
    else send(response, page);
  });
  boundConnections(server, most);
  return server;
}

function send(response: ServerResponse, page: Answer): void {
  if (page === null) return void response.destroy();
  const { status, type, text } = page;
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text) }).end(text);
}

function boundConnections(server: Server, most: number): void {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    if (open.size >= most) {
      const oldest = oldestOfBusiest(open);
      open.delete(oldest);
      oldest.destroy();
    }
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
}

/** In the order in which they came. */
function oldestOfBusiest(open: ReadonlySet<Socket>): Socket {
  const ofAddress = Map.groupBy(open, ({ remoteAddress = "" }) => remoteAddress);
  return [...ofAddress.values()].reduce((most, next) => (next.length > most.length ? next : most))[0]!;
}
