/** 15020: metrics in Prometheus or OpenMetrics text. In `strict` only sources that `allow-ingress` names may read them. */
import { createServer } from "node:http";
import type { Server } from "node:http";
import { formats, negotiate } from "../../lib/metrics/exposition.ts";
import type { Registry } from "../../lib/metrics/registry.ts";
import { ipFromSocket, isLoopback } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { View } from "../route/policy.ts";
import { namesAddress } from "../route/rules.ts";

/** The pod itself always may. */
export function mayScrape(view: View | null, source: Ip, port: number): boolean {
  if (isLoopback(source) || view === null || view.self.ips.has(source)) return true;
  return view.policy.mode !== "strict" || namesAddress(view.policy.allowIngressAddresses, source, port);
}

export function serveMetrics(registry: Registry, allowed: (source: Ip) => boolean): Server {
  return createServer({ requestTimeout: 5_000, headersTimeout: 5_000, maxHeaderSize: 8_192 }, (request, response) => {
    const source = ipFromSocket(request.socket.remoteAddress);
    if (source === null || !allowed(source)) return void response.writeHead(403).end();
    if (request.method !== "GET" || request.url !== "/metrics") return void response.writeHead(404).end();
    const format = negotiate(request.headers.accept);
    response.writeHead(200, { "content-type": formats[format].contentType }).end(registry.render(format));
  });
}
