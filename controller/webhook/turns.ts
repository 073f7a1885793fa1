/**
 * Who is served next, where more ask than can be served at once: of the sources that wait, the one that was served least
 * (start-time fair queueing). However much one source asks for, another one waits for what is under way and no longer.
 */
type Waiting = { readonly cost: number; readonly grant: () => void };
/** `served`: what its turns have cost so far, on a scale that all sources share. */
type Source = { served: number; readonly waiting: Set<Waiting> };

export type Turn = {
  readonly granted: Promise<void>;
  /** Done, or not wanted any more. */
  end(): void;
};

/** Beyond these, what sources have had that do not wait is forgotten. */
const mostSources = 1_024;

export class Turns {
  readonly #sources = new Map<string, Source>();
  #free: number;
  /** Where the source that was served last began: whoever comes new begins there, and not with a credit. */
  #now = 0;

  /** No cost may be above `capacity`: it would never be granted. */
  constructor(capacity: number) {
    this.#free = capacity;
  }

  ask(name: string, cost: number): Turn {
    if (this.#sources.size > mostSources) this.#forgetIdle();
    const source = this.#sources.get(name) ?? { served: 0, waiting: new Set() };
    this.#sources.set(name, source);
    if (source.waiting.size === 0) source.served = Math.max(source.served, this.#now);
    let end = (): void => {};
    const granted = new Promise<void>((resolve) => {
      const waiting: Waiting = {
        cost,
        grant: () => {
          end = () => (this.#free += cost);
          resolve();
        },
      };
      end = () => void source.waiting.delete(waiting);
      source.waiting.add(waiting);
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

  /** Who is next and does not fit yet is waited for: what is cheaper would pass it by for ever. */
  #grant(): void {
    for (let next = this.#next(); next !== null; next = this.#next()) {
      const [first] = next.waiting;
      if (first === undefined || first.cost > this.#free) return;
      next.waiting.delete(first);
      this.#free -= first.cost;
      this.#now = next.served;
      next.served += first.cost;
      first.grant();
    }
  }

  #forgetIdle(): void {
    for (const [name, { waiting }] of this.#sources) if (waiting.size === 0) this.#sources.delete(name);
  }

  #next(): Source | null {
    let least: Source | null = null;
    for (const source of this.#sources.values())
      if (source.waiting.size > 0 && (least === null || source.served < least.served)) least = source;
    return least;
  }
}
