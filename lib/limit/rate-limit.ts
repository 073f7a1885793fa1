/**
 * Token buckets by key, in bounded memory: beyond `mostKeys` the key that was used longest ago is forgotten. Pure: time
 * is an argument.
 */

export type RateLimit = { readonly perSecond: number; readonly burst: number };
type Bucket = { left: number; at: number };

export class RateLimiter {
  readonly #limit: RateLimit;
  readonly #mostKeys: number;
  /** In the order of last use: a Map keeps the order of insertion, and each use inserts again. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(limit: RateLimit, mostKeys = 65_536) {
    this.#limit = limit;
    this.#mostKeys = mostKeys;
  }

  /** Takes one; false if there is none left. `now` is in milliseconds and never goes back. */
  take(key: string, now: number): boolean {
    const { perSecond, burst } = this.#limit;
    const known = this.#buckets.get(key);
    this.#buckets.delete(key);
    const refilled = known === undefined ? burst : Math.min(burst, known.left + ((now - known.at) / 1000) * perSecond);
    const taken = refilled >= 1;
    this.#buckets.set(key, { left: taken ? refilled - 1 : refilled, at: now });
    if (this.#buckets.size > this.#mostKeys) this.#buckets.delete(this.#buckets.keys().next().value!);
    return taken;
  }

  get size(): number {
    return this.#buckets.size;
  }
}
