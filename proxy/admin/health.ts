/**
 * 15021: whether the proxy is alive and ready, and the application's own probes and lifecycle handlers, performed inside
 * the pod. Status and a few words only; nothing of the proxy's or the application's state is told.
 */
import type { Server } from "node:http";
import { notFound, pageServer, plainPage } from "../../lib/http/page-server.ts";
import type { ProbeAction, ProbeActions } from "../probe/declared.ts";
import type { ProbeOutcome } from "../probe/perform.ts";

export type HealthParts = {
  readonly isReady: () => boolean;
  readonly probes: ProbeActions;
  readonly perform: (action: ProbeAction) => Promise<ProbeOutcome>;
};

/** A kubelet asks for one at a time; whoever else asks must not make the application's load. */
const mostAtOnce = 16;

/** `/live`: 200 while the process answers. `/ready`: 200 or 503. A declared path: as the probe says. Everything else: 404. */
export function serveHealth({ isReady, probes, perform }: HealthParts): Server {
  let underWay = 0;
  return pageServer(({ url = "" }) => {
    if (url === "/live") return plainPage(200, "live");
    if (url === "/ready") return isReady() ? plainPage(200, "ready") : plainPage(503, "not ready");
    const action = probes.get(url);
    if (action === undefined) return notFound;
    if (underWay >= mostAtOnce) return plainPage(503, "too many at once");
    underWay++;
    return perform(action)
      .then(({ ok, text }) => plainPage(ok ? 200 : 503, text))
      .finally(() => underWay--);
  });
}
