/** `/metrics`, `/live` and `/ready` of a program of the control plane. */
import { notFound, pageServer, plainPage } from "./page-server.ts";
import { formats, negotiate } from "../metrics/exposition.ts";
import type { Registry } from "../metrics/registry.ts";

export type Health = { readonly address: string; readonly port: number; close(): void };

export async function listenHealth(
  where: { host: string; port: number },
  registry: Registry,
  isReady: () => boolean,
): Promise<Health> {
  const server = pageServer(({ url, headers }) => {
    if (url === "/live") return plainPage(200, "live");
    if (url === "/ready") return isReady() ? plainPage(200, "ready") : plainPage(503, "not ready");
    if (url !== "/metrics") return notFound;
    const format = negotiate(headers.accept);
    return { status: 200, type: formats[format].contentType, text: registry.render(format) };
  });
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
