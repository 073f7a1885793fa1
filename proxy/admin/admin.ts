/**
 * 15000, loopback only and read-only: effective settings and state, for whoever has a shell in the pod. There is no verb
 * that changes anything: an application that can be made to send requests (SSRF) must gain nothing here.
 */
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { ProxyConfig } from "../config.ts";

type Context = { readonly config: ProxyConfig; readonly status: () => object };

/** A browser or a confused deputy sends a host name here; a person uses the address. */
const loopbackHost = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?$/;

export function serveAdmin({ config, status }: Context): Server {
  const pages: Readonly<Record<string, () => object>> = { "/config": () => config, "/status": status };
  return createServer({ requestTimeout: 5_000, headersTimeout: 5_000, maxHeaderSize: 8_192 }, (request, response) => {
    const page =
      request.method === "GET" &&
      loopbackHost.test(request.headers.host ?? "") &&
      Object.hasOwn(pages, request.url ?? "")
        ? pages[request.url!]
        : undefined;
    if (page === undefined) return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": "application/json" }).end(`${JSON.stringify(page(), null, 2)}\n`);
  });
}
