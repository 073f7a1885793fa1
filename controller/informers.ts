/**
 * The informers that the controller keeps, what each tells the directory's state, and how new all of it is. Of objects
 * only the fields are kept that something reads.
 */
import type { Clock } from "../lib/clock/clock.ts";
import type { KubeClient } from "../lib/kube/client.ts";
import { Informer } from "../lib/kube/informer.ts";
import type { Change } from "../lib/kube/informer.ts";
import { podMarks } from "../lib/kube/names.ts";
import type { EndpointSlice, KubeObject, Namespace, Node, Pod, Service, ServiceCidr } from "../lib/kube/objects.ts";
import type { Log } from "../lib/log/log.ts";
import type { Revision } from "../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import type { ClusterState } from "./directory/state.ts";

export type InformerParts = {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly state: ClusterState;
  /** After each batch of changes. */
  readonly onBatch: () => void;
};

export type Informers = {
  readonly namespaces: Informer<Namespace>;
  readonly pods: Informer<Pod>;
  listed(): Promise<void>;
  revisions(): readonly Revision[];
  /** Lists a kind again, of which somebody has seen more. */
  catchUp(kind: string): void;
  /** Why what is known may be too old to tell; null while it is not. */
  staleness(): string | null;
  close(): void;
};

/** Of an informer, what does not depend on its kind. */
type Followed = Pick<
  Informer<KubeObject>,
  "start" | "close" | "listed" | "isListed" | "catchUp" | "syncedAt" | "resourceVersion"
>;

/** Each watch is asked for anew every minute. */
const stalenessMs = 180_000;

/** managedFields alone are half of an object. */
function slim<T extends KubeObject>(object: T): T {
  const { metadata } = object;
  return {
    ...object,
    metadata: {
      name: metadata.name,
      uid: metadata.uid,
      resourceVersion: metadata.resourceVersion,
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
      ...(metadata.annotations === undefined ? {} : { annotations: readOnes(metadata.annotations) }),
      ...(metadata.deletionTimestamp === undefined ? {} : { deletionTimestamp: metadata.deletionTimestamp }),
      ...(metadata.creationTimestamp === undefined ? {} : { creationTimestamp: metadata.creationTimestamp }),
      ...(metadata.ownerReferences === undefined ? {} : { ownerReferences: metadata.ownerReferences }),
    },
  };
}

/** The root in each pod's annotations is the same kilobyte for all. */
const isRead = (annotation: string): boolean =>
  /^(?:tencrypt|openshift)\.io\//.test(annotation) && annotation !== podMarks.root;

const readOnes = (all: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(all).filter(([name]) => isRead(name)));

/** What `readSidecar`, `protectionOf` and the directory look at. */
const keptOfSpec: readonly string[] = [
  "nodeName",
  "serviceAccountName",
  "hostNetwork",
  "os",
  "hostPID",
  "shareProcessNamespace",
  "securityContext",
  "initContainers",
  "containers",
  "ephemeralContainers",
  "volumes",
];

function slimPod(pod: Pod): Pod {
  const { metadata, status } = slim(pod);
  const { spec } = pod;
  const slimSpec = Object.fromEntries(Object.entries(spec).filter(([field]) => keptOfSpec.includes(field)));
  const { phase, podIP, podIPs, hostIP, hostIPs } = status ?? {};
  return {
    metadata,
    spec: slimSpec as Pod["spec"],
    status: {
      ...(phase === undefined ? {} : { phase }),
      ...(podIP === undefined ? {} : { podIP }),
      ...(podIPs === undefined ? {} : { podIPs }),
      ...(hostIP === undefined ? {} : { hostIP }),
      ...(hostIPs === undefined ? {} : { hostIPs }),
    },
  };
}

/** A node's images alone are some 10 KB. */
function slimNode(node: Node): Node {
  const { metadata, status } = slim(node);
  const { podCIDR, podCIDRs } = node.spec ?? {};
  return {
    metadata,
    spec: { ...(podCIDR === undefined ? {} : { podCIDR }), ...(podCIDRs === undefined ? {} : { podCIDRs }) },
    status: status?.addresses === undefined ? {} : { addresses: status.addresses },
  };
}

export function startInformers({ client, clock, log, state, onBatch }: InformerParts): Informers {
  const kinds = new Map<string, Followed>();
  const follow = <T extends KubeObject>(
    kind: string,
    path: string,
    {
      onChange,
      keep = slim,
      optional = false,
    }: { onChange: (change: Change<T>) => void; keep?: (object: T) => T; optional?: boolean },
  ): Informer<T> => {
    const informer = new Informer<T>({ client, clock, log, path, keep, onChange, onBatch, optional });
    kinds.set(kind, informer);
    return informer;
  };
  const core = "/api/v1";
  const namespaces = follow<Namespace>("namespaces", `${core}/namespaces`, { onChange: (it) => state.namespace(it) });
  const pods = follow<Pod>("pods", `${core}/pods`, { onChange: (it) => state.pod(it), keep: slimPod });
  follow<Node>("nodes", `${core}/nodes`, { onChange: (it) => state.node(it), keep: slimNode });
  follow<Service>("services", `${core}/services`, { onChange: (it) => state.service(it) });
  const slices = "/apis/discovery.k8s.io/v1/endpointslices";
  follow<EndpointSlice>("endpointslices", slices, { onChange: (it) => state.slice(it) });
  // Known to API servers from 1.33 on.
  const cidrs = "/apis/networking.k8s.io/v1/servicecidrs";
  follow<ServiceCidr>("servicecidrs", cidrs, { onChange: (it) => state.serviceCidr(it), optional: true });
  for (const informer of kinds.values()) informer.start();
  return {
    namespaces,
    pods,
    listed: async () => {
      await Promise.all([...kinds.values()].map((informer) => informer.listed()));
    },
    revisions: () =>
      [...kinds].map(([kind, informer]) => ({ kind, resourceVersion: BigInt(informer.resourceVersion || "0") })),
    catchUp: (kind) => kinds.get(kind)?.catchUp(),
    staleness: () => {
      for (const [kind, informer] of kinds) {
        if (!informer.isListed) return `${kind}: not listed yet`;
        const age = clock.monotonic() - informer.syncedAt;
        if (age > stalenessMs) return `${kind}: nothing from the API server for ${Math.round(age / 1000)} s`;
      }
      return null;
    },
    close: () => {
      for (const informer of kinds.values()) informer.close();
    },
  };
}
