/** Objects as tests make them through an API server that has no node: what the scheduler and kubelet would do is set here. */
import type { Json, KubernetesClient } from "./client.ts";

export type Metadata = { readonly name: string; readonly namespace: string; readonly uid: string };

export const metadataOf = (object: Json): Metadata => object["metadata"] as Metadata;

export type PodOptions = {
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount?: string;
  readonly node?: string;
  /** The pod runs and holds this address; without one it is pending. */
  readonly ip?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Added to the spec, or instead of what is there. */
  readonly spec?: Json;
};

export type TokenOptions = {
  readonly namespace: string;
  readonly serviceAccount?: string;
  readonly audience: string;
  /** The pod that the token is bound to. */
  readonly pod?: Pick<Metadata, "name" | "uid">;
  readonly seconds?: number;
};

export type Review = {
  readonly authenticated: boolean;
  readonly username: string;
  readonly audiences: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
  readonly error: string;
};

/** What kubelet says of a pod that runs and is ready, or is not. */
export function runningStatus(ip: string, ready = true): Json {
  const now = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const types = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
  return {
    phase: "Running",
    podIP: ip,
    podIPs: [{ ip }],
    startTime: now,
    conditions: types.map((type) => ({
      type,
      status: ready || !type.endsWith("Ready") ? "True" : "False",
      lastTransitionTime: now,
    })),
  };
}

export class Objects {
  readonly #api: KubernetesClient;

  constructor(api: KubernetesClient) {
    this.#api = api;
  }

  /** With the account `default`, which pods need before a controller would have made it. */
  async namespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<Metadata> {
    const made = await this.#api.create("/api/v1/namespaces", { metadata: { name, labels } });
    await this.serviceAccount(name, "default");
    return metadataOf(made);
  }

  /** Also succeeds when a controller was faster. */
  async serviceAccount(namespace: string, name: string): Promise<Metadata> {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts`;
    try {
      return metadataOf(await this.#api.create(path, { metadata: { name } }));
    } catch (error) {
      if ((error as { readonly code?: number }).code !== 409) throw error;
      return metadataOf(await this.#api.get(`${path}/${name}`));
    }
  }

  async node(name: string, ip: string): Promise<Metadata> {
    const node = await this.#api.create("/api/v1/nodes", { metadata: { name } });
    await this.#api.patch(`/api/v1/nodes/${name}/status`, {
      status: {
        addresses: [{ type: "InternalIP", address: ip }],
        conditions: [{ type: "Ready", status: "True", reason: "Test" }],
      },
    });
    return metadataOf(node);
  }

  async pod(options: PodOptions): Promise<Metadata> {
    const { namespace, name, labels = {}, annotations = {} } = options;
    const made = await this.#api.create(`/api/v1/namespaces/${namespace}/pods`, {
      metadata: { name, labels, annotations },
      spec: {
        containers: [{ name: "app", image: "localhost/app:1" }],
        serviceAccountName: options.serviceAccount ?? "default",
        ...(options.node === undefined ? {} : { nodeName: options.node }),
        ...options.spec,
      },
    });
    if (options.ip !== undefined) await this.podStatus(namespace, name, runningStatus(options.ip));
    return metadataOf(made);
  }

  async podStatus(namespace: string, name: string, status: Json): Promise<void> {
    await this.#api.patch(`/api/v1/namespaces/${namespace}/pods/${name}/status`, { status });
  }

  /** Gone when the promise resolves: nobody has to confirm the end of its containers. */
  async deletePod(namespace: string, name: string): Promise<void> {
    await this.#api.delete(`/api/v1/namespaces/${namespace}/pods/${name}`, { gracePeriodSeconds: 0 });
  }

  async token(options: TokenOptions): Promise<string> {
    const { namespace, serviceAccount = "default", audience, pod, seconds = 3600 } = options;
    const bound = pod === undefined ? {} : { boundObjectRef: { kind: "Pod", apiVersion: "v1", ...pick(pod) } };
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`;
    const answer = await this.#api.create(path, {
      spec: { audiences: [audience], expirationSeconds: seconds, ...bound },
    });
    return (answer["status"] as { readonly token: string }).token;
  }

  async review(token: string, audience: string): Promise<Review> {
    const path = "/apis/authentication.k8s.io/v1/tokenreviews";
    const answer = await this.#api.create(path, { spec: { token, audiences: [audience] } });
    const status = answer["status"] as Partial<Review> & { readonly user?: Partial<Review> };
    return {
      authenticated: status.authenticated ?? false,
      username: status.user?.username ?? "",
      audiences: status.audiences ?? [],
      extra: status.user?.extra ?? {},
      error: status.error ?? "",
    };
  }

  /** A role for all of the cluster, bound to one service account. */
  async allow(namespace: string, serviceAccount: string, rules: readonly Json[]): Promise<void> {
    const name = `${namespace}-${serviceAccount}`;
    const roles = "/apis/rbac.authorization.k8s.io/v1";
    await this.#api.create(`${roles}/clusterroles`, { metadata: { name }, rules });
    await this.#api.create(`${roles}/clusterrolebindings`, {
      metadata: { name },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
      subjects: [{ kind: "ServiceAccount", namespace, name: serviceAccount }],
    });
  }
}

const pick = ({ name, uid }: Pick<Metadata, "name" | "uid">): Json => ({ name, uid });
