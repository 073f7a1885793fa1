/** 15021: whether the proxy is alive and ready. Status only; nothing of the proxy's state is told. */
import type { Server } from "node:http";
import { notFound, pageServer, plainPage } from "../../lib/http/page-server.ts";

/** `/live`: 200 while the process answers. `/ready`: 200 or 503. Everything else: 404. */
export function serveHealth(isReady: () => boolean): Server {
  return pageServer(({ url }) => {
    if (url === "/live") return plainPage(200, "live");
    if (url !== "/ready") return notFound;
    return isReady() ? plainPage(200, "ready") : plainPage(503, "not ready");
  });
}
