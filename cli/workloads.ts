/** What `status` shows: one row a pod of each project, protected or not and why, from the objects alone. Pure. */
import { podMarks } from "../lib/kube/names.ts";
import type { Namespace, Pod } from "../lib/kube/objects.ts";
import { isTerminal, readSidecar } from "../lib/kube/sidecar.ts";
import { strictest } from "../lib/project/mode.ts";
import type { Mode } from "../lib/project/mode.ts";
import { readPodSettings, readProjectSettings } from "../lib/project/settings.ts";

export type PodRow = {
  readonly namespace: string;
  /** `Deployment/cart`, or the pod itself. */
  readonly workload: string;
  readonly pod: string;
  readonly protected: boolean;
  /** Why not; empty where it is. */
  readonly why: string;
  readonly mode: Mode | null;
  /** Version of the proxy, from the tag of its image. */
  readonly version: string;
};

export const podRows = (namespaces: readonly Namespace[], pods: readonly Pod[], defaultMode: Mode): readonly PodRow[] =>
  namespaces.flatMap((namespace) =>
    pods
      .filter((pod) => pod.metadata.namespace === namespace.metadata.name && !isTerminal(pod))
      .map((pod) => rowOf(namespace, pod, defaultMode))
      .toSorted((a, b) => (a.workload + a.pod < b.workload + b.pod ? -1 : 1)),
  );

function rowOf(namespace: Namespace, pod: Pod, defaultMode: Mode): PodRow {
  const sidecar = readSidecar(pod);
  const { mode } = readProjectSettings(namespace.metadata, defaultMode).settings;
  const own = readPodSettings(pod.metadata).settings.mode;
  const head = { namespace: namespace.metadata.name, workload: workloadOf(pod), pod: pod.metadata.name };
  if (sidecar.kind === "none")
    return { ...head, protected: false, why: whyNot(pod, sidecar.why), mode: null, version: "" };
  const effective = strictest(strictest(sidecar.mode, mode), own);
  return { ...head, protected: true, why: "", mode: effective, version: tagOf(sidecar.proxyImage) };
}

function whyNot(pod: Pod, fallback: string): string {
  const skipped = pod.metadata.annotations?.[podMarks.skipped];
  if (skipped !== undefined) return skipped;
  return pod.metadata.annotations?.[podMarks.injected] === undefined ? `not injected: ${fallback}` : fallback;
}

/** A ReplicaSet of a Deployment has its name and a hash. */
function workloadOf({ metadata }: Pod): string {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner === undefined) return `Pod/${metadata.name}`;
  const hash = metadata.labels?.["pod-template-hash"];
  return owner.kind === "ReplicaSet" && hash !== undefined && owner.name.endsWith(`-${hash}`)
    ? `Deployment/${owner.name.slice(0, -hash.length - 1)}`
    : `${owner.kind}/${owner.name}`;
}

/** Empty where the image has none. */
export const tagOf = (image: string): string => /:([^:/@]+)(?:@|$)/.exec(image)?.[1] ?? "";
