/**
 * 15000, loopback only and read-only: effective settings and state, for whoever has a shell in the pod. There is no verb
 * that changes anything: an application that can be made to send requests (SSRF) must gain nothing here.
 */
import type { Server } from "node:http";
import { notFound, pageServer } from "../../lib/http/page-server.ts";
import type { ProxyConfig } from "../config.ts";

type Context = { readonly config: ProxyConfig; readonly status: () => object };

/** A browser or a confused deputy sends a host name here; a person uses the address. */
const loopbackHost = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?$/;

export function serveAdmin({ config, status }: Context): Server {
  const pages = new Map<string, () => object>([
    ["/config", () => config],
    ["/status", status],
  ]);
  return pageServer(({ url, headers }) => {
    const page = loopbackHost.test(headers.host ?? "") ? pages.get(url ?? "") : undefined;
    if (page === undefined) return notFound;
    return { status: 200, type: "application/json", text: `${JSON.stringify(page(), null, 2)}\n` };
  });
}
