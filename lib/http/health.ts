/** `/metrics`, `/live` and `/ready` of a program of the control plane. */
import { metricsPage } from "./metrics-page.ts";
import { notFound, pageServer, plainPage } from "./page-server.ts";
import type { Registry } from "../metrics/registry.ts";
import type { HostPort } from "../net/host-port.ts";
import { listen } from "../server/listen.ts";

export type Health = { readonly address: string; readonly port: number; close(): void };

export async function listenHealth(where: HostPort, registry: Registry, isReady: () => boolean): Promise<Health> {
  const server = pageServer(({ url, headers }) => {
    if (url === "/live") return plainPage(200, "live");
    if (url === "/ready") return isReady() ? plainPage(200, "ready") : plainPage(503, "not ready");
    return url === "/metrics" ? metricsPage(registry, headers.accept) : notFound;
  });
  const bound = await listen(server, where);
  return {
    ...bound,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
