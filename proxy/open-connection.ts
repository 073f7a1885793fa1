/**
 * A connection through which bytes flow: relayed until both ends are done, or reset because the rules that hold now
 * would refuse it. It publishes its beginning and its end, and is in the data plane's set of open ones in between.
 */
import type { Duplex } from "node:stream";
import type { Reason } from "../lib/errors/reasons.ts";
import { closed, opened } from "./connection.ts";
import type { Cut } from "./connection.ts";
import type { Dataplane } from "./dataplane.ts";
import { resetOnClose } from "./listen/socket-options.ts";
import type { ConnectionRecord } from "./observe/events.ts";
import { Relay } from "./relay/relay.ts";
import type { Policy, Verdict } from "./route/policy.ts";

export type OpenParts = {
  readonly client: Duplex;
  readonly server: Duplex;
  readonly record: ConnectionRecord;
  readonly plane: Dataplane;
  readonly judge: (rules: Policy) => Verdict | Promise<Verdict>;
  /** Called once when it turns out to be a bulk transfer. */
  readonly bulk: () => void;
  /** Called once at the end; says why the session under it ended it, if it did. */
  readonly ended: () => Reason | null;
};

export class OpenConnection {
  readonly #parts: OpenParts;
  readonly #relay: Relay;
  #cut: Cut | null = null;

  constructor(parts: OpenParts) {
    this.#parts = parts;
    const { client, server, record, plane, bulk, ended } = parts;
    opened(record, plane.clock);
    this.#relay = new Relay({
      client,
      server,
      disarm: (side) => resetOnClose(side, false),
      bulk,
      done: (outcome) => {
        plane.open.delete(this);
        const reason = ended();
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
