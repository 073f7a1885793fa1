/** `/metrics`, `/live` and `/ready` over plain HTTP: GET only, fixed answers, nothing that a caller sends is looked at but method and path. */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { formats, negotiate } from "../lib/metrics/exposition.ts";
import type { Registry } from "../lib/metrics/registry.ts";

export type Health = { readonly address: string; readonly port: number; close(): void };

type Answer = { readonly status: number; readonly type: string; readonly text: string };
const plain = (status: number, text: string): Answer => ({
  status,
  type: "text/plain; charset=utf-8",
  text: `${text}\n`,
});

export async function listenHealth(
  where: { host: string; port: number },
  registry: Registry,
  isReady: () => boolean,
): Promise<Health> {
  const answer = (request: IncomingMessage): Answer => {
    if (request.method !== "GET") return plain(405, "only GET");
    if (request.url === "/live") return plain(200, "live");
    if (request.url === "/ready") return isReady() ? plain(200, "ready") : plain(503, "not ready");
    if (request.url !== "/metrics") return plain(404, "not found");
    const format = negotiate(request.headers.accept);
    return { status: 200, type: formats[format].contentType, text: registry.render(format) };
  };
  const server: Server = createServer(
    { requestTimeout: 5_000, headersTimeout: 5_000, keepAliveTimeout: 5_000, maxHeaderSize: 8_192 },
    (request: IncomingMessage, response: ServerResponse) => {
      const { status, type, text } = answer(request);
      response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text) }).end(text);
    },
  );
  server.maxConnections = 64;
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(where.port, where.host, resolve));
  const bound = server.address() as { address: string; port: number };
  return {
    address: bound.address,
    port: bound.port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
