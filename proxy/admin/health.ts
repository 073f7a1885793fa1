/**
 * 15021: whether the proxy is alive and ready, and the application's own probes and lifecycle handlers, performed inside
 * the pod. Status and a few words only; nothing of the proxy's or the application's state is told.
 */
import type { Server } from "node:http";
import type { Socket } from "node:net";
import { notFound, pageServer, plainPage } from "../../lib/http/page-server.ts";
import type { Page } from "../../lib/http/page-server.ts";
import { ipFromSocket } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { ProbeAction, ProbeActions } from "../probe/declared.ts";
import type { ProbeOutcome } from "../probe/perform.ts";

export type HealthParts = {
  readonly isReady: () => boolean;
  readonly probes: ProbeActions;
  /** `gone`: whoever asked has gone. */
  readonly perform: (action: ProbeAction, gone: AbortSignal) => Promise<ProbeOutcome>;
  /** Whether that address may ask for the application's probe or handler at `path`. */
  readonly mayAsk: (source: Ip, path: string) => Promise<boolean>;
};

type Places = { readonly ofOne: number; readonly ofAll: number };

/**
 * How much is performed at once. A kubelet asks for each that is declared once at a time, so that is what one address may ask
 * for, and all of them four times as much: whoever else asks neither makes the application's load nor keeps the kubelet out.
 */
const placesFor = (declared: number): Places => {
  const ofOne = Math.max(16, declared);
  return { ofOne, ofAll: 4 * ofOne };
};

/**
 * `/live`: 200 while the process answers. `/ready`: 200 or 503. A declared path: as the probe says. Everything else: 404.
 * To a kubelet a handler has failed only where its connection has: any status is a success.
 */
export function serveHealth({ isReady, probes, perform, mayAsk }: HealthParts): Server {
  const places = placesFor(probes.size);
  const underWay = new Sources(places);
  const declared = async (path: string, action: ProbeAction, socket: Socket): Promise<Page | null> => {
    // A link-local address comes with the name of its device.
    const source = ipFromSocket(socket.remoteAddress?.split("%")[0]);
    if (source === null || !(await mayAsk(source, path))) return plainPage(403, "forbidden");
    const failed = (text: string): Page | null => (path.startsWith("/hook/") ? null : plainPage(503, text));
    if (!underWay.enter(source)) return failed("too many at once");
    try {
      const { ok, text } = await untilGone(socket, (gone) => perform(action, gone));
      return ok ? plainPage(200, text) : failed(text);
    } finally {
      underWay.leave(source);
    }
  };
  return pageServer(({ url = "", socket }) => {
    if (url === "/live") return plainPage(200, "live");
    if (url === "/ready") return isReady() ? plainPage(200, "ready") : plainPage(503, "not ready");
    const action = probes.get(url);
    return action === undefined ? notFound : declared(url, action, socket);
  }, places.ofAll);
}

async function untilGone<T>(socket: Socket, work: (gone: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const left = (): void => controller.abort();
  socket.once("close", left);
  if (socket.destroyed) left();
  return await work(controller.signal).finally(() => socket.off("close", left));
}

/** How many requests of each address are under way. */
class Sources {
  readonly #places: Places;
  readonly #of = new Map<Ip, number>();
  #all = 0;

  constructor(places: Places) {
    this.#places = places;
  }

  enter(source: Ip): boolean {
    const own = this.#of.get(source) ?? 0;
    if (own >= this.#places.ofOne || this.#all >= this.#places.ofAll) return false;
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
