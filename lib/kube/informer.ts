/**
 * The objects of one kind, kept up to date: a list in pages, then a watch with bookmarks. What ends a watch (a reset, a
 * time-out, an expired version) is mended by watching on, or by a new list, with back-off; an informer never stops by
 * itself. `syncedAt` tells how old the knowledge may be.
 */
import type { Clock, Timer } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import { isStatus, KubeError } from "./client.ts";
import type { KubeClient } from "./client.ts";
import type { KubeObject } from "./objects.ts";

export type Change<T> =
  | { readonly kind: "added"; readonly object: T }
  | { readonly kind: "updated"; readonly object: T; readonly old: T }
  | { readonly kind: "removed"; readonly object: T };

export type InformerOptions<T> = {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  /** Such as `/api/v1/pods`. */
  readonly path: string;
  /** Such as `labelSelector=tencrypt.io%2Fproject%3Denabled`. */
  readonly query?: string;
  /** Where the API server does not know the kind, there is none of it; it is asked again from time to time. */
  readonly optional?: boolean;
  /** Keeps only what is needed of an object. */
  readonly keep?: (object: T) => T;
  readonly onChange?: (change: Change<T>) => void;
  /** After each batch of changes that came at once, and after each list. */
  readonly onBatch?: () => void;
};

const pageSize = 500;
/**
 * A watch is asked for anew after this long. An API server sends a bookmark just before, but with an older etcd none for a
 * kind that nothing happens to: that it answers the next watch shows that it is there.
 */
const watchSeconds = 20;
/** No byte for this long: the connection is dead. What it would have told may be a revocation. */
const silenceMs = 30_000;
/** How often at most everything is listed again because somebody has seen more: also for a share of the time only. */
const catchUpMs = 1_000;
const catchUpFactor = 5;
/** Whoever is told of changes threw. */
class NotTaken extends Error {}

/** A watch that ends sooner, whatever ends it, has failed: the next one would do the same. */
const shortestWatchMs = 1_000;
const firstBackoffMs = 200;
const longestBackoffMs = 10_000;

type ListPage<T> = {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly T[];
};

type WatchLine<T> = { readonly type: string; readonly object: T };

export const keyOf = ({ metadata }: KubeObject): string =>
  metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;

export class Informer<T extends KubeObject> {
  readonly #options: InformerOptions<T>;
  readonly #objects = new Map<string, T>();
  readonly #waiting: (() => void)[] = [];
  /** Once there was one it stays: also while everything is listed again, this is how far the objects have been seen. */
  #resourceVersion = "";
  #mustList = true;
  /** How long the last list took. */
  #listMs = 0;
  #syncedAt = Number.NEGATIVE_INFINITY;
  #listed = false;
  /** The watch was ended here, to list again. */
  #isCut = false;
  #caughtUpAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  #backoffMs = firstBackoffMs;
  #timer: Timer | null = null;
  #cut: (() => void) | null = null;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
  }

  start(): void {
    void this.#run();
  }

  /** Resolves with the first complete list. */
  async listed(): Promise<void> {
    if (this.#listed) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  get isListed(): boolean {
    return this.#listed;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  /** Of the newest object or bookmark that was seen. */
  get resourceVersion(): string {
    return this.#resourceVersion;
  }

  /** By the monotonic clock, when the API server last said anything. */
  get syncedAt(): number {
    return this.#syncedAt;
  }

  /** Lists again: somebody has seen a newer version than this informer. */
  catchUp(): void {
    const now = this.#options.clock.monotonic();
    if (!this.#listed || now - this.#caughtUpAt < Math.max(catchUpMs, this.#listMs * catchUpFactor)) return;
    this.#caughtUpAt = now;
    this.#mustList = true;
    this.#isCut = true;
    this.#cut?.();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#cut?.();
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        this.#isCut = false;
        if (this.#mustList) await this.#list();
        // Not where somebody has seen more meanwhile.
        if (!this.#mustList) await this.#watch();
      } catch (error) {
        if (this.#closed) return;
        if (this.#isCut) continue;
        this.#failed(error);
        await this.#pause();
      }
    }
  }

  #failed(error: unknown): void {
    // 410: the version is too old to watch from. What was not taken is told again with the next list.
    if (isStatus(error, 410) || error instanceof NotTaken) this.#mustList = true;
    const known = error instanceof KubeError;
    const absent = this.#options.optional === true && isStatus(error, 404);
    this.#options.log(absent ? "debug" : known ? "warn" : "error", "watch_failed", {
      path: this.#options.path,
      detail: known ? error.message : stackOf(error),
    });
  }

  #pause(): Promise<void> {
    const { clock } = this.#options;
    // Between half and all of it, by the digits behind the millisecond: many informers do not come back at once.
    const delay = this.#backoffMs * (0.5 + (clock.monotonic() % 1) / 2);
    this.#backoffMs = Math.min(this.#backoffMs * 2, longestBackoffMs);
    return new Promise((resolve) => {
      this.#timer = clock.after(delay, resolve);
      this.#cut = resolve;
    });
  }

  #url(parameters: Readonly<Record<string, string>>): string {
    const { path, query } = this.#options;
    return `${path}?${new URLSearchParams(parameters).toString()}${query === undefined ? "" : `&${query}`}`;
  }

  async #list(): Promise<void> {
    const { clock } = this.#options;
    const startedAt = clock.monotonic();
    this.#mustList = false;
    try {
      await this.#listAll();
      this.#listMs = clock.monotonic() - startedAt;
    } catch (error) {
      this.#mustList = true;
      if (this.#options.optional === true && isStatus(error, 404)) this.#complete();
      throw error;
    }
  }

  async #listAll(): Promise<void> {
    const { client } = this.#options;
    const found = new Map<string, T>();
    let token = "";
    let version = "";
    do {
      const path = this.#url({ limit: String(pageSize), ...(token === "" ? {} : { continue: token }) });
      const page = await client.get<ListPage<T>>(path);
      for (const item of page.items) found.set(keyOf(item), this.#kept(item));
      version = page.metadata.resourceVersion;
      token = page.metadata.continue ?? "";
    } while (token !== "" && !this.#closed);
    this.#replaceAll(found);
    this.#resourceVersion = version;
    this.#complete();
  }

  #complete(): void {
    this.#seen();
    this.#listed = true;
    this.#options.onBatch?.();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #kept(object: T): T {
    return this.#options.keep === undefined ? object : this.#options.keep(object);
  }

  /** What the new list does not hold was removed while nobody looked. */
  #replaceAll(found: ReadonlyMap<string, T>): void {
    for (const [key, object] of this.#objects) if (!found.has(key)) this.#remove(key, object);
    for (const [key, object] of found) this.#put(key, object);
  }

  #put(key: string, object: T): void {
    const old = this.#objects.get(key);
    if (old?.metadata.resourceVersion === object.metadata.resourceVersion) return;
    this.#objects.set(key, object);
    // The same name with another uid is another object.
    const isOther = old !== undefined && old.metadata.uid !== object.metadata.uid;
    if (isOther) this.#tell(key, old, { kind: "removed", object: old });
    this.#tell(key, old, old === undefined || isOther ? { kind: "added", object } : { kind: "updated", object, old });
  }

  #remove(key: string, object: T): void {
    const old = this.#objects.get(key);
    this.#objects.delete(key);
    this.#tell(key, old, { kind: "removed", object });
  }

  /** What throws has not happened: it comes again. */
  #tell(key: string, old: T | undefined, change: Change<T>): void {
    try {
      this.#options.onChange?.(change);
    } catch (cause) {
      if (old === undefined) this.#objects.delete(key);
      else this.#objects.set(key, old);
      throw new NotTaken(`${change.kind} ${key}`, { cause });
    }
  }

  #seen(): void {
    this.#syncedAt = this.#options.clock.monotonic();
  }

  async #watch(): Promise<void> {
    const { client, clock, path } = this.#options;
    const url = this.#url({
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: this.#resourceVersion,
      timeoutSeconds: String(watchSeconds),
    });
    const response = await client.open(url, silenceMs);
    const startedAt = clock.monotonic();
    const lasted = (): boolean => clock.monotonic() - startedAt >= shortestWatchMs;
    this.#cut = () => response.destroy();
    if (this.#closed || this.#isCut) response.destroy();
    this.#seen();
    try {
      await this.#follow(response);
    } finally {
      response.destroy();
      if (lasted()) this.#backoffMs = firstBackoffMs;
    }
    if (!lasted()) throw new KubeError(`watch ${path}`, 0, "", "the API server ended it at once");
  }

  /** Until the API server ends it. */
  async #follow(response: AsyncIterable<unknown>): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) this.#take(line);
        this.#seen();
        if (lines.length > 0) this.#options.onBatch?.();
      }
    } catch (error) {
      if (error instanceof KubeError || error instanceof NotTaken) throw error;
      throw new KubeError(`watch ${this.#options.path}`, 0, "", (error as Error).message);
    }
  }

  #take(line: string): void {
    if (line === "") return;
    const { type, object } = JSON.parse(line) as WatchLine<T>;
    if (type === "ERROR") {
      const {
        code = 0,
        reason = "",
        message = "",
      } = object as unknown as {
        readonly code?: number;
        readonly reason?: string;
        readonly message?: string;
      };
      throw new KubeError(`watch ${this.#options.path}`, code, reason, message);
    }
    this.#resourceVersion = object.metadata.resourceVersion;
    this.#backoffMs = firstBackoffMs;
    if (type === "BOOKMARK") return;
    const kept = this.#kept(object);
    const key = keyOf(object);
    if (type === "DELETED") this.#remove(key, kept);
    else this.#put(key, kept);
  }
}

function stackOf(error: unknown): string {
  return error instanceof NotTaken ? `${error.message}: ${stackOf(error.cause)}` : String((error as Error).stack);
}
