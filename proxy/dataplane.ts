/** What both paths share: the knowledge they decide by, the sessions they use, and the connections that are open. */
import { randomBytes, randomFillSync } from "node:crypto";
import type { Duplex } from "node:stream";
import type { Clock } from "../lib/clock/clock.ts";
import type { Log } from "../lib/log/log.ts";
import type { Ip } from "../lib/net/address.ts";
import { continueTrace, createTraceIds } from "./observe/trace-context.ts";
import type { Sampling } from "./observe/trace-context.ts";
import type { TraceContext } from "./observe/events.ts";
import type { Relay } from "./relay/relay.ts";
import type { LookUpAnswer, Self, View } from "./route/policy.ts";
import type { AnswerContext } from "./session/answer-reauthentication.ts";
import type { SessionPool } from "./session/pool.ts";

/** Who is where. From a watched file, or streamed from the controller. */
export type Directory = {
  /** Null before the first accepted snapshot. */
  current(): View | null;
  /** Asks for an address that the snapshot does not name; answers within 2 s. */
  lookUp(ip: Ip): Promise<LookUpAnswer>;
};

type Parts = {
  readonly clock: Clock;
  readonly log: Log;
  readonly self: Self;
  readonly directory: Directory;
  readonly pool: SessionPool;
  readonly reauthentication: AnswerContext;
  /** Null while tracing is off. */
  readonly sampling: Sampling | null;
  readonly maxConnections: number;
};

export class Dataplane {
  readonly clock: Clock;
  readonly self: Self;
  readonly directory: Directory;
  readonly pool: SessionPool;
  /** What a request to re-authenticate a session is judged by. */
  readonly reauthentication: AnswerContext;
  /** Every connection that is being relayed. */
  readonly relays: Set<Relay> = new Set();
  readonly #log: Log;
  readonly #sampling: Sampling | null;
  readonly #ids = createTraceIds((bytes) => randomFillSync(bytes));
  readonly #maxConnections: number;
  #connections = 0;
  #idle: () => void = () => {};
  #turn: number = randomBytes(4).readUInt32BE();

  constructor(parts: Parts) {
    this.clock = parts.clock;
    this.self = parts.self;
    this.directory = parts.directory;
    this.pool = parts.pool;
    this.reauthentication = parts.reauthentication;
    this.#log = parts.log;
    this.#sampling = parts.sampling;
    this.#maxConnections = parts.maxConnections;
  }

  /** The mode in force. */
  get mode(): string {
    return this.directory.current()?.policy.mode ?? this.self.floor;
  }

  /** A whole number from 0 to 2^32-1: spreads connections over a Service's endpoints. */
  pick(): number {
    this.#turn = (this.#turn + 1) >>> 0;
    return this.#turn;
  }

  /** Continues the caller's trace, or starts one. */
  startTrace(traceparent: string | string[] | undefined): TraceContext | null {
    if (this.#sampling === null) return null;
    return continueTrace(typeof traceparent === "string" ? traceparent : undefined, this.#sampling, this.#ids);
  }

  get connections(): number {
    return this.#connections;
  }

  /** Counts a connection until it closes; false at the limit. */
  admit(connection: Duplex): boolean {
    if (this.#connections >= this.#maxConnections) return false;
    this.#connections++;
    connection.once("close", () => {
      this.#connections--;
      if (this.#connections === 0) this.#idle();
    });
    return true;
  }

  /** Calls back once no connection is open, at once if none is. */
  whenIdle(callback: () => void): void {
    if (this.#connections === 0) callback();
    else this.#idle = callback;
  }

  /** The boundary of one connection: an unforeseen error ends it, not the process. */
  guard(connection: Duplex, work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#log("error", "internal_error", {
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
      connection.destroy();
    });
  }
}
