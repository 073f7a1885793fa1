/**
 * A connection through which bytes flow: relayed until both ends are done, or reset because the rules that hold now
 * would refuse it or the proxy's certificate has ended. It publishes its beginning and its end, and is in the data plane's set of open ones in between.
 */
import type { Duplex } from "node:stream";
import { closed, opened } from "./connection.ts";
import type { Cut } from "./connection.ts";
import type { Dataplane, Judge, Open } from "./dataplane.ts";
import { resetOnClose } from "./listen/socket-options.ts";
import type { ConnectionRecord } from "./observe/events.ts";
import { Relay } from "./relay/relay.ts";
import type { Session } from "./session/session.ts";

export type OpenParts = {
  readonly client: Duplex;
  readonly server: Duplex;
  readonly record: ConnectionRecord;
  readonly plane: Dataplane;
  readonly judge: Judge;
  /** The side that is a stream of a session; null in clear. */
  readonly tunnel: { readonly session: Tunnel; readonly stream: Duplex } | null;
};

type Tunnel = Pick<Session, "bulkBegun" | "bulkEnded" | "whyCut">;

export class OpenConnection implements Open {
  readonly client: Duplex;
  readonly judge: Judge;
  readonly #relay: Relay;
  #cut: Cut | null = null;

  constructor(parts: OpenParts) {
    const { client, server, record, plane, tunnel } = parts;
    this.client = client;
    this.judge = parts.judge;
    let bulk = false;
    opened(record, plane.clock);
    this.#relay = new Relay({
      client,
      server,
      disarm: (side) => resetOnClose(side, false),
      bulk: () => {
        bulk = true;
        tunnel?.session.bulkBegun();
      },
      done: (outcome) => {
        plane.open.delete(this);
        if (bulk) tunnel?.session.bulkEnded();
        const reason = tunnel?.session.whyCut(tunnel.stream) ?? null;
        closed(record, plane.clock, { outcome, cut: this.#cut ?? (reason === null ? null : { reason, detail: null }) });
      },
    });
    plane.open.add(this);
    this.#relay.start();
  }

  /** Resets both ends. */
  destroy(): void {
    this.#relay.destroy();
  }

  cut(why: Cut): void {
    this.#cut ??= why;
    this.#relay.destroy();
  }
}
