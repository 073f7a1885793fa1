/**
 * Turns at something scarce, for many who ask: of those that wait, the one that was served least is next (start-time fair
 * queueing). However much one asks for, another one waits for what is under way and no longer; what one may have at a
 * time, and how much of one may wait, can be bounded beside that. Pure.
 */
export type TurnBounds = {
  /** The cost of all turns at a time. No cost may be above it, nor above `ofOne`: it would never be granted. */
  readonly capacity: number;
  /** The cost of the turns that one has at a time. */
  readonly ofOne?: number;
  /** How many turns one may wait for. */
  readonly waitingOfOne?: number;
};

export type Turn = {
  readonly granted: Promise<void>;
  /** Done, or not wanted any more; to call it again changes nothing. */
  end(): void;
};

type Waiting = { readonly cost: number; readonly grant: () => void };
/** `served`: what its turns have cost so far, on a scale that all share; `running`: the cost of those that it has. */
type Asker = { served: number; running: number; readonly waiting: Set<Waiting> };

/** Beyond these, what those have had that neither wait nor have a turn is forgotten. */
const mostAskers = 1_024;

export class Turns {
  readonly #askers = new Map<string, Asker>();
  readonly #ofOne: number;
  readonly #waitingOfOne: number;
  #free: number;
  /** Where the one that was served last began: whoever comes new begins there, and not with a credit. */
  #now = 0;

  constructor({ capacity, ofOne = capacity, waitingOfOne = Number.POSITIVE_INFINITY }: TurnBounds) {
    this.#free = capacity;
    this.#ofOne = ofOne;
    this.#waitingOfOne = waitingOfOne;
  }

  /** Null: too many of this one wait already. */
  ask(key: string, cost = 1): Turn | null {
    if (this.#askers.size > mostAskers) this.#forgetIdle();
    const asker = this.#askers.get(key) ?? { served: 0, running: 0, waiting: new Set() };
    if (asker.waiting.size >= this.#waitingOfOne) return null;
    this.#askers.set(key, asker);
    if (asker.waiting.size === 0) asker.served = Math.max(asker.served, this.#now);
    let end = (): void => {};
    const granted = new Promise<void>((resolve) => {
      const waiting: Waiting = {
        cost,
        grant: () => {
          end = () => this.#give(asker, -cost);
          resolve();
        },
      };
      end = () => void asker.waiting.delete(waiting);
      asker.waiting.add(waiting);
    });
    this.#grant();
    return {
      granted,
      end: () => {
        const once = end;
        end = () => {};
        once();
        this.#grant();
      },
    };
  }

  #give(asker: Asker, cost: number): void {
    asker.running += cost;
    this.#free -= cost;
  }

  /** Who is next and does not fit yet is waited for: what is cheaper would pass it by for ever. */
  #grant(): void {
    for (let next = this.#next(); next !== null; next = this.#next()) {
      const { asker, first } = next;
      if (first.cost > this.#free) return;
      asker.waiting.delete(first);
      this.#give(asker, first.cost);
      this.#now = asker.served;
      asker.served += first.cost;
      first.grant();
    }
  }

  #forgetIdle(): void {
    for (const [key, { running, waiting }] of this.#askers)
      if (running === 0 && waiting.size === 0) this.#askers.delete(key);
  }

  /** The one that was served least, of those that may have another turn. */
  #next(): { readonly asker: Asker; readonly first: Waiting } | null {
    let least: { readonly asker: Asker; readonly first: Waiting } | null = null;
    for (const asker of this.#askers.values()) {
      const [first] = asker.waiting;
      if (first === undefined || asker.running + first.cost > this.#ofOne) continue;
      if (least === null || asker.served < least.asker.served) least = { asker, first };
    }
    return least;
  }
}
