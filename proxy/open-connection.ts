/**
 * A connection through which bytes flow: relayed until both ends are done, or reset because the rules that hold now
 * would refuse it. It publishes its beginning and its end, and is in the data plane's set of open ones in between.
 */
import type { Duplex } from "node:stream";
import { closed, opened } from "./connection.ts";
import type { Cut } from "./connection.ts";
import type { Dataplane } from "./dataplane.ts";
import { resetOnClose } from "./listen/socket-options.ts";
import type { ConnectionRecord } from "./observe/events.ts";
import { Relay } from "./relay/relay.ts";
import type { Policy, Verdict } from "./route/policy.ts";
import type { Session } from "./session/session.ts";

export type OpenParts = {
  readonly client: Duplex;
  readonly server: Duplex;
  readonly record: ConnectionRecord;
  readonly plane: Dataplane;
  readonly judge: (rules: Policy) => Verdict | Promise<Verdict>;
  /** The side that is a stream of a session; null in clear. */
  readonly tunnel: { readonly session: Tunnel; readonly stream: Duplex } | null;
};

type Tunnel = Pick<Session, "bulkBegun" | "bulkEnded" | "whyCut">;

export class OpenConnection {
  readonly #parts: OpenParts;
  readonly #relay: Relay;
  #cut: Cut | null = null;

  constructor(parts: OpenParts) {
    this.#parts = parts;
    const { client, server, record, plane, tunnel } = parts;
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

  /** Other rules hold than before. */
  judge(rules: Policy): void {
    const { plane, client } = this.#parts;
    plane.guard(client, this.#judged(rules));
  }

  async #judged(rules: Policy): Promise<void> {
    const verdict = await this.#parts.judge(rules);
    if (verdict === null) return;
    this.#cut ??= { reason: "policy_changed", detail: `${verdict.reason} ${verdict.detail}` };
    this.#relay.destroy();
  }
}
