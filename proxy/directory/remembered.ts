/**
 * What look-ups have told of addresses that the state does not name. The controller tells when that changes, on the stream
 * that was there when it was asked.
 *
 * Who holds an address is remembered until then. That nobody holds it may become wrong at any time, a moment before the
 * controller tells it: such an answer is used again only where the address was nobody's for a while, which it is if it
 * belongs to a node's own device or to somebody outside, and is not if it belongs to a pod that was just made. Pure.
 */
import { mostLookedUp } from "../../lib/directory/looked-up.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { Learned } from "../route/learned.ts";

/** When the question was put whose answer was nobody: the first time, and the last time without another answer between. */
type Unheld = { readonly since: number; readonly last: number };

/** A pod's address is in the API within a second or two after it can use it. */
const settledMs = 5_000;
const freshMs = 5_000;

export class Remembered {
  /** Both oldest first. */
  readonly #held = new Map<Ip, Learned>();
  readonly #unheld = new Map<Ip, Unheld>();

  get held(): ReadonlyMap<Ip, Learned> {
    return this.#held;
  }

  hold(ip: Ip, learned: Learned): void {
    this.forget(ip);
    this.#held.set(ip, learned);
    dropOldest(this.#held);
  }

  /** Times are of a monotonic clock. */
  unhold(ip: Ip, askedAt: number): void {
    const since = this.#unheld.get(ip)?.since ?? askedAt;
    this.forget(ip);
    this.#unheld.set(ip, { since, last: askedAt });
    dropOldest(this.#unheld);
  }

  /** Nobody held the address for a while, until this was asked for last. */
  wasUnheld(ip: Ip): boolean {
    const unheld = this.#unheld.get(ip);
    return unheld !== undefined && unheld.last - unheld.since >= settledMs;
  }

  /** The same, and that was just now. */
  isUnheld(ip: Ip, now: number): boolean {
    return this.wasUnheld(ip) && now - this.#unheld.get(ip)!.last < freshMs;
  }

  forget(ip: Ip): void {
    this.#held.delete(ip);
    this.#unheld.delete(ip);
  }

  /** Drops what the state names now: it will say itself when that changes. */
  named(isNamed: (ip: Ip) => boolean): void {
    for (const map of [this.#held, this.#unheld]) for (const ip of map.keys()) if (isNamed(ip)) map.delete(ip);
  }

  clear(): void {
    this.#held.clear();
    this.#unheld.clear();
  }
}

function dropOldest(map: Map<Ip, unknown>): void {
  const oldest = map.keys().next();
  if (map.size > mostLookedUp && oldest.done !== true) map.delete(oldest.value);
}
