/**
 * Who holds an address that a caller's stream does not name. Where the informers know nobody, the API server is asked
 * itself: a pod may be newer than they are. What a caller learns of others' pods is what rules and certificates name.
 *
 * Callers that ask for one address at once share a question, and for a second its answer. A question has a turn for as long
 * as the API server takes; turns are shared among the callers, so none keeps others from asking.
 */
import type { Clock } from "../../lib/clock/clock.ts";
import type { DocumentWorkload } from "../../lib/directory/document.ts";
import { toWorkload } from "../../lib/directory/wire.ts";
import { KubeError } from "../../lib/kube/client.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import type { Pod } from "../../lib/kube/objects.ts";
import { parseIp } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { LookupResponse } from "../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { workloadOf } from "./entities.ts";
import { PodScan } from "./pod-scan.ts";
import type { ClusterState } from "./state.ts";
import { Turns } from "../../lib/limit/turns.ts";
import type { Turn } from "../../lib/limit/turns.ts";

export type Holder = Omit<LookupResponse, "revisions">;
export type LookupOutcome = { readonly kind: "holder"; readonly holder: Holder } | { readonly kind: "no-answer" };

type Remembered = { readonly outcome: LookupOutcome; readonly until: number };

const holder = (value: Holder): LookupOutcome => ({ kind: "holder", holder: value });
const noAnswer: LookupOutcome = { kind: "no-answer" };
const rememberMs = 1_000;
const mostRemembered = 4_096;
/** As many as the client has connections. */
const turns = { capacity: 64, ofOne: 8, waitingOfOne: 128 };
/** The caller does not wait longer. */
const longestWaitMs = 2_000;

export class Lookup {
  readonly #state: ClusterState;
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #scan: PodScan;
  readonly #turns = new Turns(turns);
  readonly #asking = new Map<Ip, Promise<LookupOutcome>>();
  /** Addresses that are asked for and have a new holder, or none, since the question was put. */
  readonly #overtaken = new Set<string>();
  /** Oldest first. */
  readonly #remembered = new Map<string, Remembered>();

  constructor(state: ClusterState, client: KubeClient, clock: Clock) {
    this.#state = state;
    this.#client = client;
    this.#clock = clock;
    this.#scan = new PodScan(client, clock);
    state.onMoved((ip) => this.#moved(ip));
  }

  /** `asker` tells callers apart that share turns. */
  async find(address: string, asker: string): Promise<LookupOutcome> {
    const ip = parseIp(address);
    if (ip === null || ip !== address) return noAnswer;
    const now = this.#atHand(ip);
    if (now !== null) return now;
    const waitedSince = this.#clock.monotonic();
    const turn = this.#turns.ask(asker);
    if (turn === null) return noAnswer;
    await turn.granted;
    const meanwhile = this.#atHand(ip);
    if (meanwhile === null && this.#clock.monotonic() - waitedSince < longestWaitMs) return this.#ask(ip, turn);
    turn.end();
    return meanwhile ?? noAnswer;
  }

  /** What can be said without a question, or with one that others have put. */
  #atHand(ip: Ip): LookupOutcome | Promise<LookupOutcome> | null {
    const known = this.#known(ip);
    if (known !== null) return holder(known);
    const remembered = this.#remembered.get(ip);
    if (remembered !== undefined && remembered.until > this.#clock.monotonic()) return remembered.outcome;
    return this.#asking.get(ip) ?? null;
  }

  #known(ip: Ip): Holder | null {
    const pods = this.#state.podsAt(ip);
    if (pods.length > 0) return { pods: { pods: pods.map(toWorkload) } };
    const service = this.#state.serviceAt(ip);
    if (service !== undefined) {
      const { namespace = "", name } = service.metadata;
      return { service: { project: namespace, name } };
    }
    const node = this.#state.nodeAt(ip);
    return node === undefined ? null : { node: { name: node } };
  }

  #ask(ip: Ip, turn: Turn): Promise<LookupOutcome> {
    const outcome = this.#answer(ip, turn).finally(() => {
      turn.end();
      this.#asking.delete(ip);
      this.#overtaken.delete(ip);
    });
    this.#asking.set(ip, outcome);
    return outcome;
  }

  /** What was read before the address moved may name who is gone: asked once more. */
  async #answer(ip: Ip, turn: Turn): Promise<LookupOutcome> {
    for (let attempt = 0; attempt < 2; attempt++) {
      this.#overtaken.delete(ip);
      const pods = await this.#podsOfStore(ip, turn);
      if (pods === null) return noAnswer;
      if (this.#overtaken.has(ip)) continue;
      const outcome = holder(
        pods.length > 0 ? { pods: { pods: pods.map(toWorkload) } } : (this.#known(ip) ?? { nobody: {} }),
      );
      this.#remember(ip, outcome);
      return outcome;
    }
    return noAnswer;
  }

  /**
   * Without a resourceVersion the answer is from the API server's own store. It selects by a pod's first address; null if it
   * does not answer.
   */
  async #podsOfStore(ip: Ip, turn: Turn): Promise<readonly DocumentWorkload[] | null> {
    try {
      const selector = encodeURIComponent(`status.podIP=${ip}`);
      const list = await this.#client.get<{ readonly items: readonly Pod[] }>(`/api/v1/pods?fieldSelector=${selector}`);
      const pods = list.items.map(workloadOf).filter((workload) => workload !== null);
      const holding = pods.filter(({ ips }) => ips.includes(ip));
      if (holding.length > 0 || !this.#state.mayBeSecond(ip)) return holding;
      // A scan may be a while away.
      turn.end();
      return await this.#scan.at(ip);
    } catch (error) {
      if (error instanceof KubeError) return null;
      throw error;
    }
  }

  #remember(ip: Ip, outcome: LookupOutcome): void {
    this.#remembered.delete(ip);
    this.#remembered.set(ip, { outcome, until: this.#clock.monotonic() + rememberMs });
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size <= mostRemembered) return;
      this.#remembered.delete(oldest);
    }
  }

  #moved(ip: string): void {
    this.#remembered.delete(ip);
    if (this.#asking.has(ip as Ip)) this.#overtaken.add(ip);
  }
}
