/** What both paths share: the knowledge they decide by, the sessions they use, and the connections that are open. */
import { randomBytes, randomFillSync } from "node:crypto";
import type { Duplex } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import { until } from "../lib/clock/clock.ts";
import type { Clock, Timer } from "../lib/clock/clock.ts";
import type { Cut } from "./connection.ts";
import type { DirectorySource } from "./directory/source.ts";
import type { Log } from "../lib/log/log.ts";
import { continueTrace, createTraceIds, never, startTrace } from "./observe/trace-context.ts";
import type { Sampling } from "./observe/trace-context.ts";
import type { TraceContext } from "./observe/events.ts";
import { Backlog } from "./relay/backlog.ts";
import { reset } from "./relay/relay.ts";
import type { Known, LookUp, Policy, Self, Verdict, View } from "./route/policy.ts";
import type { SessionPool } from "./session/pool.ts";
import type { ClientSession, ServerSession } from "./session/session.ts";
import { uncertified } from "./session/verify-peer.ts";
import type { Welcome } from "./session/verify-peer.ts";

/** Who is where. */
type Directory = Pick<DirectorySource, "current" | "lookUp">;

/** A connection through which bytes can flow. */
export type Open = {
  /** Destroyed on an unforeseen error. */
  readonly client: Duplex;
  readonly server: Duplex;
  readonly judge: Judge;
  /** It may not go on. */
  cut(why: Cut): void;
  /** The proxy ends. */
  destroy(): void;
  /** Asks the kernel for a reset that nobody was told of. */
  endIfReset(): void;
};

/** Whether a connection may go on under these rules. */
export type Judge = (rules: Policy) => Verdict | Promise<Verdict>;

type Parts = {
  readonly clock: Clock;
  readonly log: Log;
  readonly self: Self;
  readonly directory: Directory;
  readonly pool: SessionPool;
  readonly welcome: Welcome;
  /** Null while tracing is off. */
  readonly sampling: Sampling | null;
  readonly maxConnections: number;
  /** Octets that may wait here in all. */
  readonly maxBuffered: number;
};

export class Dataplane {
  readonly clock: Clock;
  readonly self: Self;
  readonly directory: Directory;
  readonly pool: SessionPool;
  /** What callers are judged by, in a handshake and when they re-authenticate. */
  readonly welcome: Welcome;
  /** Every connection through which bytes can flow. */
  readonly open: Set<Open> = new Set();
  /** Sessions that others dialled. */
  readonly accepted: Set<ServerSession> = new Set();
  readonly backlog: Backlog;
  readonly #log: Log;
  readonly #sampling: Sampling | null;
  readonly #ids = createTraceIds((bytes) => randomFillSync(bytes));
  readonly #maxConnections: number;
  #rules: Policy | null = null;
  #certificateEnd: Timer | null = null;
  #looks = false;
  readonly #admitted = new Set<Duplex>();
  /** Of `open`, those of applications: a drain does not wait for telemetry's own. */
  #relayed = 0;
  #idle: () => void = () => {};
  #turn: number = randomBytes(4).readUInt32BE();

  constructor(parts: Parts) {
    this.clock = parts.clock;
    this.self = parts.self;
    this.directory = parts.directory;
    this.pool = parts.pool;
    this.welcome = parts.welcome;
    this.#log = parts.log;
    this.#sampling = parts.sampling;
    this.#maxConnections = parts.maxConnections;
    this.backlog = new Backlog({
      clock: parts.clock,
      log: parts.log,
      limit: parts.maxBuffered,
      admitted: this.#admitted,
      open: this.open,
      sessions: () => this.sessions,
    });
  }

  get sessions(): readonly (ClientSession | ServerSession)[] {
    return [...this.pool.sessions, ...this.accepted];
  }

  /** The mode in force. */
  get mode(): string {
    return this.directory.current()?.policy.mode ?? this.self.floor;
  }

  /** The rules in force: the same object for as long as they are the same rules. */
  get rules(): Policy | null {
    return this.#rules;
  }

  /** Null while the proxy holds a valid certificate: without one nothing is let in or out, clear text included. */
  whyUncertified(): Verdict {
    return this.welcome.credentials() === null ? uncertified : null;
  }

  /** When our certificate ends, what is open in clear ends with it, as tunnels do with their sessions. */
  certified(notAfter: number): void {
    this.#certificateEnd?.cancel();
    // Never at once again, should it be valid still.
    this.#certificateEnd = until(this.clock, Math.max(notAfter, this.clock.now() + 1), () => {
      if (this.whyUncertified() === null) return this.certified(notAfter);
      for (const connection of this.open) connection.cut({ reason: "certificate_ended", detail: null });
    });
  }

  /** A whole number from 0 to 2^32-1: spreads connections over a Service's endpoints. */
  pick(): number {
    this.#turn = (this.#turn + 1) >>> 0;
    return this.#turn;
  }

  /** The decision, after the one look-up that an unknown address is worth. */
  decide<D extends { readonly kind: string }>(ask: (known: Known) => D | LookUp): Promise<D> {
    return this.#decide(ask, 1);
  }

  /** The same of a connection that is open, after more look-ups where nobody answers: all open ones are judged at once. */
  decideAnew<D extends { readonly kind: string }>(ask: (known: Known) => D | LookUp): Promise<D> {
    return this.#decide(ask, lookUpsOfOpen);
  }

  async #decide<D extends { readonly kind: string }>(ask: (known: Known) => D | LookUp, lookUps: number): Promise<D> {
    const first = ask({ view: this.directory.current(), lookUp: null, asked: null });
    if (!isLookUp(first)) return first;
    const { ip, lastWillDo } = first;
    let lookUp = await this.directory.lookUp(ip, lastWillDo);
    for (let count = 1; lookUp === "no-answer" && count < lookUps; count++) {
      await new Promise<void>((resolve) => void this.clock.after(betweenLookUpsMs, resolve));
      lookUp = await this.directory.lookUp(ip, lastWillDo);
    }
    const decided = ask({ view: this.directory.current(), lookUp, asked: ip });
    if (isLookUp(decided)) throw new Error("a second look-up for one connection");
    return decided;
  }

  /**
   * A snapshot has come. Where it brings other rules, what is open is judged as if it came now. What it says of
   * addresses alone ends nothing: entries come and go while pods do. Nor does what is only tried.
   */
  snapshotTaken({ policy }: View): void {
    if (this.#rules !== null && isDeepStrictEqual(enforced(policy), enforced(this.#rules))) return;
    this.#rules = policy;
    for (const connection of this.open) this.guard(connection.client, judgeOpen(connection, policy));
  }

  /**
   * Judges what was decided under `before`, dialled and not opened yet, for as long as the rules become others meanwhile.
   * What they refuse is reset, and so is everything once our certificate has ended.
   */
  async judgeAnew(before: Policy | null, dialled: Duplex, judge: Judge): Promise<Verdict> {
    for (let known = before; this.#rules !== null && this.#rules !== known;) {
      known = this.#rules;
      const verdict = await judge(known);
      if (verdict === null) continue;
      reset(dialled);
      return verdict;
    }
    const lapsed = this.whyUncertified();
    if (lapsed !== null) reset(dialled);
    return lapsed;
  }

  /** Continues the caller's trace, or starts one. */
  startTrace(traceparent: string | string[] | undefined): TraceContext | null {
    if (this.#sampling === null) return null;
    return continueTrace(typeof traceparent === "string" ? traceparent : undefined, this.#sampling, this.#ids);
  }

  /** Of telemetry's own connections: tells the far proxy, too, that there is nothing to trace. */
  silentTrace(): TraceContext {
    return startTrace(never, this.#ids);
  }

  get connections(): number {
    return this.#admitted.size;
  }

  /** Counts a connection until it closes; false at the limit. */
  admit(connection: Duplex): boolean {
    if (this.#admitted.size >= this.#maxConnections) return false;
    this.#admitted.add(connection);
    connection.on("close", () => this.#left(connection));
    // It may bring as much as a window before it leads anywhere.
    this.backlog.soon();
    return true;
  }

  #left(connection: Duplex): void {
    this.#admitted.delete(connection);
    if (this.#isIdle) this.#idle();
  }

  /** Bytes flow between an application and a far end. */
  relayBegun(connection: Open): void {
    this.open.add(connection);
    this.#relayed++;
    if (!this.#looks) this.#lookLater();
  }

  /** While anything is open. */
  #lookLater(): void {
    this.#looks = this.open.size > 0;
    if (this.#looks) this.clock.after(lookEveryMs, this.#lookForResets);
  }

  readonly #lookForResets = (): void => {
    for (const connection of this.open) connection.endIfReset();
    this.#lookLater();
  };

  /** Both ends have closed, and its record is complete. */
  relayEnded(connection: Open): void {
    this.open.delete(connection);
    this.#relayed--;
    if (this.#isIdle) this.#idle();
  }

  /** The end that was admitted may close long before the other one has taken the last bytes. */
  get #isIdle(): boolean {
    return this.#admitted.size === 0 && this.#relayed === 0;
  }

  /** Calls back once no connection is left, at once if none is. */
  whenIdle(callback: () => void): void {
    if (this.#isIdle) callback();
    else this.#idle = callback;
  }

  /** The boundary of one connection: an unforeseen error ends it, not the process. */
  guard(connection: Duplex, work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#log("error", "internal_error", {
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
      connection.on("error", () => {});
      reset(connection);
    });
  }
}

async function judgeOpen(connection: Open, rules: Policy): Promise<void> {
  const verdict = await connection.judge(rules);
  if (verdict === null) return;
  connection.cut({ reason: "policy_changed", detail: `${verdict.reason} ${verdict.detail}` });
}

const isLookUp = (decision: { readonly kind: string }): decision is LookUp => decision.kind === "look-up";

/** Without what a dry run tries. */
const enforced = (policy: Policy): Policy => ({ ...policy, dryRun: null, allowFromDryRun: [] });

/** One that nobody reads from costs a microsecond each time. */
const lookEveryMs = 5_000;
/** A controller answers only so many look-ups of one proxy in a second. */
const betweenLookUpsMs = 1_000;
const lookUpsOfOpen = 8;
