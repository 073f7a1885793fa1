/**
 * How much is told of the Services of one project. Whoever may make Services could make more than a proxy reads of an update
 * or holds, and so keep all news from the project and its peers, or end their proxies. What does not fit waits until others
 * have become smaller or are gone. Pure.
 */
type Of = { total: number; readonly sizes: Map<string, number>; readonly waiting: Map<string, number> };

export class Room {
  readonly #most: number;
  readonly #projects = new Map<string, Of>();

  /** Of each project, in any unit. */
  constructor(most: number) {
    this.#most = most;
  }

  /** How many wait, of all projects. */
  get waiting(): number {
    return [...this.#projects.values()].reduce((sum, { waiting }) => sum + waiting.size, 0);
  }

  /** Whether the Service of that size, 0 for one that is gone, fits beside the others; and those that wait and fit now. */
  take(project: string, service: string, size: number): { readonly fits: boolean; readonly mayFit: readonly string[] } {
    const of = this.#projects.get(project) ?? { total: 0, sizes: new Map(), waiting: new Map<string, number>() };
    const before = of.sizes.get(service) ?? 0;
    const fits = of.total - before + size <= this.#most;
    const now = fits ? size : 0;
    of.total += now - before;
    if (now === 0) of.sizes.delete(service);
    else of.sizes.set(service, now);
    if (fits) of.waiting.delete(service);
    else of.waiting.set(service, size);
    if (of.sizes.size + of.waiting.size === 0) this.#projects.delete(project);
    else this.#projects.set(project, of);
    return { fits, mayFit: now < before ? fitting(of.waiting, this.#most - of.total) : [] };
  }
}

/** In the order in which they began to wait, as many as fit together. */
function fitting(waiting: ReadonlyMap<string, number>, room: number): readonly string[] {
  let left = room;
  return [...waiting]
    .filter(([, size]) => {
      const fits = size <= left;
      if (fits) left -= size;
      return fits;
    })
    .map(([service]) => service);
}
