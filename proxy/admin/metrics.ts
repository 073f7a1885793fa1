/** 15020: metrics in Prometheus or OpenMetrics text, for those that may read them. */
import type { Server } from "node:http";
import { notFound, pageServer, plainPage } from "../../lib/http/page-server.ts";
import { formats, negotiate } from "../../lib/metrics/exposition.ts";
import type { Registry } from "../../lib/metrics/registry.ts";
import { ipFromSocket } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";

export function serveMetrics(registry: Registry, allowed: (source: Ip) => Promise<boolean>): Server {
  return pageServer(async ({ url, headers, socket }) => {
    const source = ipFromSocket(socket.remoteAddress);
    if (source === null || !(await allowed(source))) return plainPage(403, "forbidden");
    if (url !== "/metrics") return notFound;
    const format = negotiate(headers.accept);
    return { status: 200, type: formats[format].contentType, text: registry.render(format) };
  });
}
