/** 15020: metrics in Prometheus or OpenMetrics text. In `strict` only sources that `allow-ingress` names may read them. */
import type { Server } from "node:http";
import { notFound, pageServer, plainPage } from "../../lib/http/page-server.ts";
import { formats, negotiate } from "../../lib/metrics/exposition.ts";
import type { Registry } from "../../lib/metrics/registry.ts";
import { ipFromSocket, isLoopback } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { Self, View } from "../route/policy.ts";
import { namesAddress } from "../../lib/project/rules.ts";

/** The pod itself always may. Before the first snapshot the floor decides, and names nobody. */
export function mayScrape(source: Ip, { self, view, port }: { self: Self; view: View | null; port: number }): boolean {
  if (isLoopback(source) || self.ips.has(source)) return true;
  if ((view?.policy.mode ?? self.floor) !== "strict") return true;
  return view !== null && namesAddress(view.policy.allowIngressAddresses, source, port);
}

export function serveMetrics(registry: Registry, allowed: (source: Ip) => boolean): Server {
  return pageServer(({ url, headers, socket }) => {
    const source = ipFromSocket(socket.remoteAddress);
    if (source === null || !allowed(source)) return plainPage(403, "forbidden");
    if (url !== "/metrics") return notFound;
    const format = negotiate(headers.accept);
    return { status: 200, type: formats[format].contentType, text: registry.render(format) };
  });
}
