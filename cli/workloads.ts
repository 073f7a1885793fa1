/** What `status` shows: one row a pod of each project, protected or not and why, from the objects alone. Pure. */
import type { Namespace, Pod } from "../lib/kube/objects.ts";
import { isTerminal } from "../lib/kube/sidecar.ts";
import { protectionOf } from "../lib/inject/protection.ts";
import type { Protection } from "../lib/inject/protection.ts";
import { strictest } from "../lib/project/mode.ts";
import type { Mode } from "../lib/project/mode.ts";
import { readPodSettings, readProjectSettings } from "../lib/project/settings.ts";

export type PodRow = {
  readonly namespace: string;
  /** `Deployment/cart`, or the pod itself. */
  readonly workload: string;
  readonly pod: string;
  readonly protected: boolean;
  /** It is not, and is not meant to be. */
  readonly exempt: boolean;
  /** Why not: the code of the reason, with what was found behind a colon; empty where it is. */
  readonly why: string;
  /** What the objects demand: a stricter one may be in force, for only the controller knows the mode of projects that name none. */
  readonly modeAtLeast: Mode | null;
  /** Version of the proxy, from the tag of its image. */
  readonly version: string;
};

export const podRows = (namespaces: readonly Namespace[], pods: readonly Pod[]): readonly PodRow[] =>
  namespaces.flatMap((namespace) =>
    pods
      .filter((pod) => pod.metadata.namespace === namespace.metadata.name && !isTerminal(pod))
      .map((pod) => rowOf(namespace, pod))
      .toSorted((a, b) => (a.workload + a.pod < b.workload + b.pod ? -1 : 1)),
  );

function rowOf(namespace: Namespace, pod: Pod): PodRow {
  const protection = protectionOf(pod, namespace);
  const { mode } = readProjectSettings(namespace.metadata, "permissive").settings;
  const own = readPodSettings(pod.metadata).settings.mode;
  const head = { namespace: namespace.metadata.name, workload: workloadOf(pod), pod: pod.metadata.name };
  const bare = { ...head, protected: false, modeAtLeast: null, version: "" };
  switch (protection.kind) {
    case "exempt":
      return { ...bare, exempt: true, why: protection.reason };
    case "unprotected":
      return { ...bare, exempt: false, why: whyNot(protection) };
    case "protected": {
      const modeAtLeast = strictest(strictest(protection.sidecar.mode, mode), own);
      const version = tagOf(protection.sidecar.proxyImage);
      return { ...head, protected: true, exempt: false, why: "", modeAtLeast, version };
    }
  }
}

/** The code of the reason first: `tencrypt explain` knows it. What is missing tells something of a pod that has a part. */
const whyNot = ({ reason, why }: Protection & { readonly kind: "unprotected" }): string =>
  reason === "not_as_injected" ? `${reason}: ${why}` : reason;

/** The label by which each of these tells its ReplicaSets apart. */
const hashLabels = { Deployment: "pod-template-hash", Rollout: "rollouts-pod-template-hash" } as const;

/** `KIND/NAME` of what made it. A ReplicaSet of a Deployment, or of a Rollout of Argo, has its name and a hash. */
export function workloadOf({ metadata }: Pod): string {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner === undefined) return `Pod/${metadata.name}`;
  for (const [kind, label] of Object.entries(hashLabels)) {
    const hash = metadata.labels?.[label];
    if (owner.kind === "ReplicaSet" && hash !== undefined && owner.name.endsWith(`-${hash}`))
      return `${kind}/${owner.name.slice(0, -hash.length - 1)}`;
  }
  return `${owner.kind}/${owner.name}`;
}

/** Empty where the image has none. */
export const tagOf = (image: string): string => /:([^:/@]+)(?:@|$)/.exec(image)?.[1] ?? "";
