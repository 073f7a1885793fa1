/**
 * A connection through which bytes flow: relayed until both ends are done, or reset because the rules that hold now would
 * refuse it or the proxy's certificate has ended. It publishes its beginning and its end, and in between it is in the data
 * plane's set of open ones.
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { closed, opened } from "./connection.ts";
import type { Cut } from "./connection.ts";
import type { Dataplane, Judge, Open } from "./dataplane.ts";
import { isReset, resetOnClose } from "./listen/socket-options.ts";
import type { ConnectionRecord } from "./observe/events.ts";
import { Relay } from "./relay/relay.ts";
import type { RelayOutcome, RelayOwner } from "./relay/relay.ts";
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

export class OpenConnection implements Open, RelayOwner {
  readonly client: Duplex;
  readonly server: Duplex;
  readonly judge: Judge;
  readonly #record: ConnectionRecord;
  readonly #plane: Dataplane;
  readonly #tunnel: OpenParts["tunnel"];
  readonly #relay: Relay;
  #bulk = false;
  #cut: Cut | null = null;

  constructor(parts: OpenParts) {
    this.client = parts.client;
    this.server = parts.server;
    this.judge = parts.judge;
    this.#record = parts.record;
    this.#plane = parts.plane;
    this.#tunnel = parts.tunnel;
    opened(this.#record, this.#plane.clock);
    this.#relay = new Relay(parts, this);
    this.#plane.relayBegun(this);
    this.#relay.start();
  }

  /** Resets both ends. */
  destroy(): void {
    this.#relay.destroy();
  }

  endIfReset(): void {
    this.#relay.endIfReset(isReset);
  }

  cut(why: Cut): void {
    this.#cut ??= why;
    this.#relay.destroy();
  }

  /** Of the relay, as the three that follow. */
  disarm(socket: Socket): void {
    resetOnClose(socket, false);
  }

  waits(): void {
    this.#plane.backlog.soon();
  }

  bulk(): void {
    this.#bulk = true;
    this.#tunnel?.session.bulkBegun();
  }

  done(outcome: RelayOutcome): void {
    const tunnel = this.#tunnel;
    if (this.#bulk) tunnel?.session.bulkEnded();
    const reason = tunnel?.session.whyCut(tunnel.stream) ?? null;
    const cut = this.#cut ?? (reason === null ? null : { reason, detail: null });
    closed(this.#record, this.#plane.clock, { outcome, cut });
    this.#plane.relayEnded(this);
  }
}
