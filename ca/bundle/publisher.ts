/**
 * Keeps the current state of the store and its number, and tells subscribers of each new one. One look at the store
 * runs at a time; a change during it causes another. A look that fails, for whatever reason, keeps the last state and is
 * made again: what it would have brought may be a revocation, and no later change may come.
 */
import type { Clock, Timer } from "../../lib/clock/clock.ts";
import type { Log } from "../../lib/log/log.ts";
import { StoreError } from "../store/files.ts";
import type { Published, Store } from "../store/store.ts";

const firstRetryMs = 500;
const longestRetryMs = 30_000;

type PublisherParts = { readonly clock: Clock; readonly log: Log };

export class Publisher {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #subscribers = new Set<(published: Published) => void>();
  #current: Published;
  #running: Promise<void> | null = null;
  #again = false;
  /** Looks that failed, one after the other. */
  #failures = 0;
  #retry: Timer | null = null;
  #stopWatching: (() => void) | null = null;

  private constructor(store: Store, first: Published, { clock, log }: PublisherParts) {
    this.#store = store;
    this.#current = first;
    this.#clock = clock;
    this.#log = log;
  }

  /** Throws a `StoreError` if the store cannot be read at all. */
  static async start(store: Store, parts: PublisherParts): Promise<Publisher> {
    const publisher = new Publisher(store, await store.publish(0n), parts);
    publisher.#stopWatching = store.watch(() => void publisher.refresh());
    return publisher;
  }

  get current(): Published {
    return this.#current;
  }

  /** Resolves after a look at the store that began after this call. */
  async refresh(): Promise<void> {
    if (this.#running === null) this.#running = this.#lookAll();
    else this.#again = true;
    await this.#running;
  }

  subscribe(subscriber: (published: Published) => void): () => void {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }

  stop(): void {
    this.#stopWatching?.();
    this.#stopWatching = null;
    this.#retry?.cancel();
    this.#subscribers.clear();
  }

  async #lookAll(): Promise<void> {
    try {
      do {
        this.#again = false;
        await this.#look();
      } while (this.#again);
    } finally {
      // In the same turn as the last test of `again`: a call in between would wait for a look that is already over.
      this.#running = null;
    }
  }

  async #look(): Promise<void> {
    this.#retry?.cancel();
    try {
      const next = await this.#store.publish(this.#current.version);
      this.#failures = 0;
      if (next.version === this.#current.version) return;
      this.#current = next;
      this.#log("info", "bundle_published", {
        version: next.version,
        projects: [...next.knowledge.projects.keys()].length,
      });
    } catch (error) {
      this.#failed(error);
      return;
    }
    for (const subscriber of this.#subscribers) subscriber(this.#current);
  }

  /** Whatever it is: what was published last stays. */
  #failed(error: unknown): void {
    if (this.#failures === 0) {
      if (error instanceof StoreError) this.#log("error", "store_unavailable", { detail: error.message });
      else this.#log("error", "defect", { detail: error instanceof Error ? error.stack : String(error) });
    }
    const pause = Math.min(firstRetryMs * 2 ** this.#failures++, longestRetryMs);
    if (this.#stopWatching !== null) this.#retry = this.#clock.after(pause, () => void this.refresh());
  }
}
