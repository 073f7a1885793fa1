/** 15021: whether the proxy is alive and ready. Status only; nothing of the proxy's state is told. */
import { createServer } from "node:http";
import type { Server } from "node:http";

/** `GET /live`: 200 while the process answers. `GET /ready`: 200 or 503. Everything else: 404. */
export function serveHealth(isReady: () => boolean): Server {
  return createServer({ requestTimeout: 5_000, headersTimeout: 5_000, maxHeaderSize: 8_192 }, (request, response) => {
    const path = request.method === "GET" ? request.url : "";
    const status = path === "/live" ? 200 : path === "/ready" ? (isReady() ? 200 : 503) : 404;
    response.writeHead(status).end();
  });
}
