/**
 * The proxy's link to a controller: one connection with one stream, and with a new certificate the next one beside it.
 *
 * - With a new certificate the next stream is opened beside the one in use, which answers look-ups until the next one has
 *   brought something: a renewal is no outage. Where the next one fails, the one in use goes on and the next is tried
 *   again; only where the roots are other ones it goes too, for its controller may not be believed any more.
 * - What is lost is dialled again, less and less often, until something comes.
 */
import type { Clock, Timer } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import type { Log } from "../../lib/log/log.ts";
import type { Update, WatchRequest } from "../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import type { DirectoryClient, DirectoryClientOptions } from "./client.ts";

export type LinkOptions = {
  readonly connect: (options: Pick<DirectoryClientOptions, "credentials">) => Promise<DirectoryClient>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
};

/** Who follows the stream. */
export type Follower = {
  /** From where a new stream is to go on. */
  request(): WatchRequest;
  /** A new stream is in use: its server does not know what an earlier one was asked. */
  begun(): void;
  /** Null, or why what follows would build on nothing: the stream ends, and the next one is asked for. */
  updated(update: Update): string | null;
  /** The holder of that address has changed, whichever stream says so. */
  forget(address: string): void;
  /** Version of the snapshot in use. */
  inUse(): number | null;
};

const firstRetryMs = 200;
const firstUpdateMs = 5_000;
const longestRetryMs = 5_000;

type Stream = {
  readonly client: DirectoryClient;
  /** Under which its controller was believed. */
  readonly roots: string;
  cancel: () => void;
};

/**
 * `next` has asked for its state and has brought nothing yet; `meanwhile` is what the one in use has brought since then, and it
 * may have ended itself: of use if the next one fails.
 */
type State =
  | { readonly kind: "none" }
  | { readonly kind: "first"; readonly next: Stream; readonly meanwhile: Update[] }
  | { readonly kind: "live"; readonly stream: Stream }
  | { readonly kind: "replacing"; readonly stream: Stream; readonly next: Stream; readonly meanwhile: Update[] };

const none: State = { kind: "none" };

const rootsOf = ({ roots }: Credentials): string => roots.join("");
const dialledWith = (credentials: Credentials): string => `${credentials.identity.generation} ${rootsOf(credentials)}`;

export class Link {
  readonly #options: LinkOptions;
  readonly #follower: Follower;
  #credentials: Credentials | null = null;
  #state: State = none;
  /** Of the newest dial: what an earlier one still waits for is thrown away. */
  #turn = 0;
  #attempts = 0;
  #isLost = false;
  #retry: Timer | null = null;
  #closed = false;

  constructor(options: LinkOptions, follower: Follower) {
    this.#options = options;
    this.#follower = follower;
  }

  /** For questions: the connection whose stream tells when an answer has changed. Null where there is none. */
  get client(): DirectoryClient | null {
    return this.#inUse?.client ?? null;
  }

  get #inUse(): Stream | null {
    return this.#state.kind === "live" || this.#state.kind === "replacing" ? this.#state.stream : null;
  }

  get #next(): Stream | null {
    return this.#state.kind === "first" || this.#state.kind === "replacing" ? this.#state.next : null;
  }

  /**
   * The controller knows us by the certificate of the connection, and we believe it by the roots: others need a new
   * connection. All proxies get a new bundle at once, and what else is new in it must not make them all dial.
   */
  renew(credentials: Credentials): void {
    const before = this.#credentials;
    this.#credentials = credentials;
    if (before === null || dialledWith(before) !== dialledWith(credentials)) void this.#connect();
  }

  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
    this.#drop();
  }

  #drop(): void {
    this.#turn++;
    end(this.#inUse);
    end(this.#next);
    this.#state = none;
  }

  async #connect(): Promise<void> {
    this.#giveUpNext();
    const turn = ++this.#turn;
    this.#retry?.cancel();
    const credentials = this.#credentials;
    if (this.#closed || credentials === null) return;
    try {
      const client = await this.#options.connect({ credentials });
      if (turn !== this.#turn) return client.close();
      if (this.#inUse !== null) await reached(client);
      if (turn !== this.#turn) return client.close();
      this.#watch(client, rootsOf(credentials));
    } catch (error) {
      if (turn === this.#turn) this.#nextLost((error as Error).message);
    }
  }

  #watch(client: DirectoryClient, roots: string): void {
    const next: Stream = { client, roots, cancel: () => {} };
    const stream = this.#inUse;
    this.#state =
      stream === null ? { kind: "first", next, meanwhile: [] } : { kind: "replacing", stream, next, meanwhile: [] };
    next.cancel = client.watch(this.#follower.request(), {
      onMessage: (update) => this.#updated(next, update),
      onEnd: (how) => this.#ended(next, how.kind === "over" ? "the controller ended the stream" : how.error),
    });
    // The state comes at once.
    this.#options.clock.after(firstUpdateMs, () => {
      if (next === this.#next) this.#nextLost(`no answer within ${firstUpdateMs} ms`);
    });
  }

  #updated(stream: Stream, update: Update): void {
    for (const address of update.forget) this.#follower.forget(address);
    const state = this.#state;
    const isFirst = stream === this.#next;
    if (isFirst) this.#begun(stream);
    // What the next one brings goes on from where it was asked.
    else if (state.kind === "replacing" && stream === state.stream) return void state.meanwhile.push(update);
    else if (stream !== this.#inUse) return;
    const refused = this.#follower.updated(update);
    if (refused !== null) return this.#lost(refused);
    // What the one in use brings says nothing of whether a next one can be had.
    if (isFirst) this.#attempts = 0;
  }

  #begun(stream: Stream): void {
    end(this.#inUse);
    this.#state = { kind: "live", stream };
    this.#isLost = false;
    this.#follower.begun();
    this.#options.log("info", "directory_connected", {});
  }

  /** The one in use, if there is one, goes on where it was. */
  #giveUpNext(): void {
    const state = this.#state;
    end(this.#next);
    if (state.kind === "first") {
      this.#state = none;
      this.#catchUp(state.meanwhile);
    }
    if (state.kind !== "replacing") return;
    this.#state = { kind: "live", stream: state.stream };
    for (const update of state.meanwhile) this.#updated(state.stream, update);
  }

  /** News that came before there was no stream any more: for as long as that lasts they are the newest. */
  #catchUp(missed: readonly Update[]): void {
    for (const update of missed) if (this.#follower.updated(update) !== null) return;
  }

  #nextLost(why: string): void {
    const credentials = this.#credentials;
    if (credentials === null || this.#inUse?.roots !== rootsOf(credentials)) return this.#lost(why);
    this.#giveUpNext();
    this.#options.log("info", "directory_next_failed", { why });
    this.#again();
  }

  #ended(stream: Stream, why: string): void {
    const state = this.#state;
    if (stream === this.#next) return this.#nextLost(why);
    if (stream !== this.#inUse) return;
    if (state.kind !== "replacing") return this.#lost(why);
    // The next one is on its way.
    end(stream);
    this.#state = { kind: "first", next: state.next, meanwhile: state.meanwhile };
  }

  #lost(why: string): void {
    if (this.#closed) return;
    const state = this.#state;
    this.#drop();
    if (state.kind === "first" || state.kind === "replacing") this.#catchUp(state.meanwhile);
    // Once for each outage: what fails again and again is one fact.
    if (!this.#isLost) this.#options.log("warn", "directory_lost", { why, inUse: this.#follower.inUse() });
    this.#isLost = true;
    this.#again();
  }

  #again(): void {
    const delay = Math.min(longestRetryMs, firstRetryMs * 2 ** this.#attempts) * (0.5 + this.#options.random() / 2);
    this.#attempts++;
    this.#retry?.cancel();
    this.#retry = this.#options.clock.after(delay, () => void this.#connect());
  }
}

/** The one in use goes on bringing changes while the next one's controller is dialled. */
async function reached(client: DirectoryClient): Promise<void> {
  try {
    await client.reached(firstUpdateMs);
  } catch (error) {
    client.close();
    throw error;
  }
}

function end(stream: Stream | null): void {
  stream?.cancel();
  stream?.client.close();
}
