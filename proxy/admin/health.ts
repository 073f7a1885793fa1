/**
 * 15021: whether the proxy is alive and ready, and the application's own probes and lifecycle handlers, performed inside
 * the pod. Status and a few words only; nothing of the proxy's or the application's state is told.
 */
import type { Server } from "node:http";
import { notFound, pageServer, plainPage } from "../../lib/http/page-server.ts";
import type { Page } from "../../lib/http/page-server.ts";
import { ipFromSocket } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { ProbeAction, ProbeActions } from "../probe/declared.ts";
import type { ProbeOutcome } from "../probe/perform.ts";

export type HealthParts = {
  readonly isReady: () => boolean;
  readonly probes: ProbeActions;
  readonly perform: (action: ProbeAction) => Promise<ProbeOutcome>;
  /** Whether that address may ask for the application's probe or handler at `path`. */
  readonly mayAsk: (source: Ip, path: string) => Promise<boolean>;
};

/** A kubelet asks for one at a time and container; whoever else asks must not make the application's load, nor keep it out. */
const mostOfSource = 16;
const mostAtOnce = 64;

/** `/live`: 200 while the process answers. `/ready`: 200 or 503. A declared path: as the probe says. Everything else: 404. */
export function serveHealth({ isReady, probes, perform, mayAsk }: HealthParts): Server {
  const underWay = new Sources();
  const declared = async (source: Ip | null, path: string, action: ProbeAction): Promise<Page> => {
    if (source === null || !(await mayAsk(source, path))) return plainPage(403, "forbidden");
    if (!underWay.enter(source)) return plainPage(503, "too many at once");
    try {
      const { ok, text } = await perform(action);
      return plainPage(ok ? 200 : 503, text);
    } finally {
      underWay.leave(source);
    }
  };
  return pageServer(({ url = "", socket }) => {
    if (url === "/live") return plainPage(200, "live");
    if (url === "/ready") return isReady() ? plainPage(200, "ready") : plainPage(503, "not ready");
    const action = probes.get(url);
    // A link-local address comes with the name of its device.
    const source = ipFromSocket(socket.remoteAddress?.split("%")[0]);
    return action === undefined ? notFound : declared(source, url, action);
  });
}

/** How many requests of each address are under way. */
class Sources {
  readonly #of = new Map<Ip, number>();
  #all = 0;

  enter(source: Ip): boolean {
    const own = this.#of.get(source) ?? 0;
    if (own >= mostOfSource || this.#all >= mostAtOnce) return false;
    this.#of.set(source, own + 1);
    this.#all++;
    return true;
  }

  leave(source: Ip): void {
    const left = (this.#of.get(source) ?? 1) - 1;
    if (left === 0) this.#of.delete(source);
    else this.#of.set(source, left);
    this.#all--;
  }
}
