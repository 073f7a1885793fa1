/** 15020: metrics in Prometheus or OpenMetrics text, for those that may read them. */
import type { Server } from "node:http";
import { metricsPage } from "../../lib/http/metrics-page.ts";
import { notFound, pageServer, plainPage } from "../../lib/http/page-server.ts";
import type { Registry } from "../../lib/metrics/registry.ts";
import { ipFromSocket } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";

export function serveMetrics(registry: Registry, allowed: (source: Ip) => Promise<boolean>): Server {
  return pageServer(async ({ url, headers, socket }) => {
    const source = ipFromSocket(socket.remoteAddress);
    if (source === null || !(await allowed(source))) return plainPage(403, "forbidden");
    return url === "/metrics" ? metricsPage(registry, headers.accept) : notFound;
  });
}
