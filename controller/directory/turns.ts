/**
 * Turns at something scarce, for many callers. Each has few at a time, and a turn that comes free goes to the callers that
 * wait by rotation: one with a thousand requests delays one with a single request by a turn, not by a thousand. Pure.
 */
export type TurnBounds = {
  /** At a time, of all callers. */
  readonly all: number;
  /** At a time, of one caller. */
  readonly ofOne: number;
  /** How many requests of one caller may wait. */
  readonly waitingOfOne: number;
};

/** Ends a turn; to call it again changes nothing. */
export type EndTurn = () => void;

type Caller = { running: number; readonly waiting: ((end: EndTurn) => void)[] };

export class Turns {
  readonly #bounds: TurnBounds;
  /** Those that have a turn or wait for one; whose turn came last is at the end. */
  readonly #callers = new Map<string, Caller>();
  #running = 0;

  constructor(bounds: TurnBounds) {
    this.#bounds = bounds;
  }

  /** Null: too many of the caller wait already. */
  take(key: string): Promise<EndTurn> | null {
    const caller = this.#callers.get(key) ?? { running: 0, waiting: [] };
    if (caller.waiting.length >= this.#bounds.waitingOfOne) return null;
    this.#callers.set(key, caller);
    const { promise, resolve } = Promise.withResolvers<EndTurn>();
    caller.waiting.push(resolve);
    this.#give();
    return promise;
  }

  #give(): void {
    while (this.#running < this.#bounds.all) {
      const next = this.#next();
      if (next === null) return;
      const [key, caller] = next;
      this.#callers.delete(key);
      this.#callers.set(key, caller);
      caller.running++;
      this.#running++;
      caller.waiting.shift()!(this.#ending(key, caller));
    }
  }

  #next(): readonly [string, Caller] | null {
    for (const entry of this.#callers) {
      const [, { running, waiting }] = entry;
      if (waiting.length > 0 && running < this.#bounds.ofOne) return entry;
    }
    return null;
  }

  #ending(key: string, caller: Caller): EndTurn {
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      caller.running--;
      this.#running--;
      if (caller.running === 0 && caller.waiting.length === 0) this.#callers.delete(key);
      this.#give();
    };
  }
}
