/**
 * Who holds an address, read from all pods that the API server has. Needed where an address may be the second one of a pod:
 * of these an API server selects by the first only. One scan at a time answers everybody who asked before it began, and
 * after it nothing is scanned for longer than it took, so however many ask, it costs a share of the API server's time.
 */
import type { Clock } from "../../lib/clock/clock.ts";
import type { DocumentWorkload } from "../../lib/directory/document.ts";
import { KubeError } from "../../lib/kube/client.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { pages } from "../../lib/kube/list.ts";
import type { Pod } from "../../lib/kube/objects.ts";
import { workloadOf } from "./entities.ts";

type Found = ReadonlyMap<string, readonly DocumentWorkload[]>;
/** What the next scan looks for. */
type Batch = { readonly ips: Set<string>; readonly found: Promise<Found> };

const mostAddresses = 4_096;
const shortestPauseMs = 1_000;
/** The pause after a scan, in times of what it took. */
const pauseFactor = 4;

export class PodScan {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  #next: Batch | null = null;
  /** Settles when the scan before and its pause are over. */
  #rested: Promise<void> = Promise.resolve();

  constructor(client: KubeClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** The pods that held the address at some time after the call. */
  async at(ip: string): Promise<readonly DocumentWorkload[]> {
    this.#next ??= this.#plan();
    const { ips, found } = this.#next;
    if (ips.size >= mostAddresses && !ips.has(ip)) throw new KubeError("scan", 0, "", "too many addresses");
    ips.add(ip);
    return (await found).get(ip) ?? [];
  }

  #plan(): Batch {
    const ips = new Set<string>();
    const found = this.#rested.then(() => {
      // Who asks from now on needs a scan that begins later.
      this.#next = null;
      const startedAt = this.#clock.monotonic();
      const scanned = this.#scan(ips);
      this.#rested = scanned.then(
        () => this.#rest(startedAt),
        () => this.#rest(startedAt),
      );
      return scanned;
    });
    return { ips, found };
  }

  #rest(startedAt: number): Promise<void> {
    const tookMs = this.#clock.monotonic() - startedAt;
    return new Promise(
      (resolve) => void this.#clock.after(Math.max(shortestPauseMs, tookMs * pauseFactor), () => resolve()),
    );
  }

  async #scan(ips: ReadonlySet<string>): Promise<Found> {
    const found = new Map<string, DocumentWorkload[]>();
    for await (const page of pages<Pod>(this.#client, "/api/v1/pods"))
      for (const workload of page.map(workloadOf).filter((each) => each !== null))
        for (const ip of workload.ips.filter((each) => ips.has(each)))
          found.set(ip, [...(found.get(ip) ?? []), workload]);
    return found;
  }
}
