/**
 * Who holds an address that a caller's stream does not name. Where the informers know nobody, the API server is asked
 * itself: a pod may be newer than they are. What a caller learns of others' pods is what rules and certificates name.
 */
import type { Clock } from "../../lib/clock/clock.ts";
import { toWorkload } from "../../lib/directory/wire.ts";
import { KubeError } from "../../lib/kube/client.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import type { Pod } from "../../lib/kube/objects.ts";
import { parseIp } from "../../lib/net/address.ts";
import type { LookupResponse } from "../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { workloadOf } from "./entities.ts";
import type { ClusterState } from "./state.ts";

export type Holder = Omit<LookupResponse, "revisions">;
export type LookupOutcome = { readonly kind: "holder"; readonly holder: Holder } | { readonly kind: "no-answer" };

const holder = (value: Holder): LookupOutcome => ({ kind: "holder", holder: value });
/** Many callers that ask for one address share a question, and its "nobody" for this long. */
const rememberMs = 1_000;
const mostQuestions = 64;

export class Lookup {
  readonly #state: ClusterState;
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #asking = new Map<string, Promise<LookupOutcome>>();

  constructor(state: ClusterState, client: KubeClient, clock: Clock) {
    this.#state = state;
    this.#client = client;
    this.#clock = clock;
  }

  async find(address: string): Promise<LookupOutcome> {
    const ip = parseIp(address);
    if (ip === null || ip !== address) return { kind: "no-answer" };
    const known = this.#known(ip);
    if (known !== null) return holder(known);
    const asking = this.#asking.get(ip);
    if (asking !== undefined) return asking;
    if (this.#asking.size >= mostQuestions) return { kind: "no-answer" };
    const question = this.#ask(ip);
    this.#asking.set(ip, question);
    this.#clock.after(rememberMs, () => this.#asking.delete(ip));
    return question;
  }

  #known(ip: string): Holder | null {
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

  /** Without a resourceVersion the answer is from the API server's own store. */
  async #ask(ip: string): Promise<LookupOutcome> {
    try {
      const selector = encodeURIComponent(`status.podIP=${ip}`);
      const list = await this.#client.get<{ readonly items: readonly Pod[] }>(`/api/v1/pods?fieldSelector=${selector}`);
      const pods = list.items.map(workloadOf).filter((workload) => workload?.ips.includes(ip));
      if (pods.length > 0) return holder({ pods: { pods: pods.map((workload) => toWorkload(workload!)) } });
      return holder(this.#known(ip) ?? { nobody: {} });
    } catch (error) {
      if (error instanceof KubeError) return { kind: "no-answer" };
      throw error;
    }
  }
}
