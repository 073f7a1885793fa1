/** What `tencrypt check` judges: each fact, or why it could not be had. Pure. */
import type { KubeObject, Namespace, Pod } from "../../lib/kube/objects.ts";
import type { Readable } from "./readable.ts";

export type DeployedContainer = {
  readonly image?: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
};

export type Deployment = {
  readonly metadata?: { readonly generation?: number; readonly labels?: Readonly<Record<string, string>> };
  readonly spec: {
    readonly replicas?: number;
    readonly template: { readonly spec: { readonly containers: readonly DeployedContainer[] } };
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly readyReplicas?: number;
    readonly conditions?: readonly {
      readonly type: string;
      readonly reason?: string;
      readonly lastUpdateTime?: string;
    }[];
  };
};

export type Webhook = {
  readonly name: string;
  readonly failurePolicy?: string;
  readonly clientConfig: { readonly caBundle?: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
};

export type WebhookConfiguration = Pick<KubeObject, "metadata"> & { readonly webhooks?: readonly Webhook[] };

export type AdmissionPolicy = KubeObject & {
  readonly spec: { readonly failurePolicy?: string; readonly [field: string]: unknown };
};

export type PolicyBinding = KubeObject & {
  readonly spec: {
    readonly policyName?: string;
    readonly validationActions?: readonly string[];
    readonly matchResources?: unknown;
    readonly paramRef?: unknown;
  };
};

export type ContainerStatus = {
  readonly name: string;
  /** Its startup probe has passed. */
  readonly started?: boolean;
  readonly ready?: boolean;
  readonly state?: {
    readonly running?: { readonly startedAt?: string };
    readonly terminated?: { readonly exitCode: number };
    readonly waiting?: { readonly reason?: string };
  };
};

export type PodFact = Pod & {
  readonly status?: {
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
};

export type RootSecretFact =
  /** Who may not read Secrets is told less, and not refused: authorities are known from the ca's metrics too. */
  | { readonly kind: "unknown"; readonly why: string }
  | { readonly kind: "absent"; readonly name: string }
  /** `fault`: why nothing can be issued with it; null where all is well. */
  | { readonly kind: "found"; readonly name: string; readonly pem: string; readonly fault: string | null };

export type AuthorityFact = {
  /** Null: the control plane's. */
  readonly project: string | null;
  /** In milliseconds since the epoch; null where the certificate cannot be read. */
  readonly notAfter: number | null;
};

/** What became of a pod that the API server was to make in a project, and to keep nothing of. */
export type Trial =
  | { readonly kind: "reached" | "bare"; readonly project: string }
  /** `why` in the API server's words. */
  | { readonly kind: "unreached" | "unknown"; readonly project: string; readonly why: string };

/** What tencrypt-init of one pod said. */
export type InitLog = {
  readonly node: string;
  readonly namespace: string;
  readonly pod: string;
  readonly log: Readable<string>;
};

/** Of how many nodes with protected pods there are, and of those that were looked at. */
export type InitLogs = { readonly nodes: number; readonly logs: readonly InitLog[] };

export type ClusterFacts = {
  readonly now: number;
  readonly version: string | null;
  /** The API server has the kind. */
  readonly knowsPolicies: boolean;
  /** What an installation needs and the user may not do. */
  readonly forbidden: readonly string[];
  readonly serverTime: number | null;
};

export type Facts = ClusterFacts & {
  readonly controller: Readable<Deployment | null>;
  readonly ca: Readable<Deployment | null>;
  readonly mutating: Readable<WebhookConfiguration | null>;
  readonly validating: Readable<WebhookConfiguration | null>;
  readonly policies: Readable<readonly AdmissionPolicy[]>;
  readonly bindings: Readable<readonly PolicyBinding[]>;
  readonly rootPem: Readable<string | null>;
  readonly rootSecret: RootSecretFact;
  /** Of the control plane and of projects. */
  readonly authorities: Readable<readonly AuthorityFact[]>;
  /** Null where no replica of the ca shows its metrics. */
  readonly sourceMismatches: number | null;
  /** Why a replica of the ca does not show them; null where all do. */
  readonly metricsFault: string | null;
  /** Namespaces with the project's label; only one of its values makes a project. */
  readonly projects: Readable<readonly Namespace[]>;
  readonly pods: Readable<readonly PodFact[]>;
  readonly inits: InitLogs;
  /** Null where no webhook is there, or no project. */
  readonly trial: Trial | null;
};
