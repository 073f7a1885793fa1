/**
 * Whether a pod of a project may be as it is. A new pod is exactly what injection makes of it, or has nothing of
 * ours; of an existing one what is ours stays as it was, and what is added to it cannot act as the proxy. Pure.
 */
import { containers as ours, podMarks } from "../kube/names.ts";
import type { Container, Namespace } from "../kube/objects.ts";
import { mountsOwnVolume } from "../kube/own-volumes.ts";
import { looksIntoOurs } from "../kube/sidecar-form.ts";
import type { InjectConfig } from "./config.ts";
import { hasOurs, inject } from "./inject.ts";
import type { PodTemplate } from "./inject.ts";
import { markOf } from "./mark.ts";
import { explain } from "./reasons.ts";
import type { InjectReason } from "./reasons.ts";
import { mayUndoRules } from "./report.ts";

export type Verdict =
  | { readonly kind: "admitted" }
  | { readonly kind: "refused"; readonly reason: InjectReason; readonly message: string };

const admitted: Verdict = { kind: "admitted" };
const refused = (reason: InjectReason, detail = ""): Verdict => ({
  kind: "refused",
  reason,
  message: explain(reason, detail),
});

type NamespaceLike = { readonly metadata: Partial<Namespace["metadata"]> };

export function validateNew(pod: PodTemplate, namespace: NamespaceLike, config: InjectConfig): Verdict {
  const outcome = inject(pod, namespace, config);
  if (outcome.kind === "refused") return refused(outcome.report.reason, outcome.report.detail);
  if (outcome.kind === "skipped") return hasOurs(pod) ? refused("not_as_injected", outcome.report.reason) : admitted;
  const difference = firstDifference(comparable(outcome.pod), comparable(pod), "");
  if (difference === null) return admitted;
  // Injection overwrites what the pod's author writes there: another replica of ours did, with another configuration.
  const [mark, own] = [pod.metadata?.annotations?.[podMarks.injected], markOf(config)];
  return mark === undefined || mark === own
    ? refused("not_as_injected", `at ${difference}`)
    : refused("upgrade_under_way", `injected by ${mark.slice(0, longestMark)}, validated by ${own}`);
}

const longestMark = 64;

export function validateChange(old: PodTemplate, pod: PodTemplate): Verdict {
  const difference = firstDifference(ownParts(old), ownParts(pod), "");
  if (difference !== null) return refused("not_as_injected", `changed at ${difference}`);
  const proxy = old.spec.initContainers?.find(({ name }) => name === ours.proxy);
  // A pod without a proxy has nothing that an added container could take.
  if (proxy === undefined) return admitted;
  const known = new Set((old.spec.ephemeralContainers ?? []).map(({ name }) => name));
  const added = (pod.spec.ephemeralContainers ?? []).filter(({ name }) => !known.has(name));
  const bad = added.find((container) => couldActAsProxy(container, proxy));
  return bad === undefined ? admitted : refused("ephemeral_container", bad.name);
}

function couldActAsProxy(container: Container, proxy: Container): boolean {
  return (
    container.securityContext?.runAsUser === proxy.securityContext?.runAsUser ||
    looksIntoOurs(container) ||
    mountsOwnVolume(container) ||
    mayUndoRules(container)
  );
}

const isOurs = ({ name }: { readonly name: string }): boolean => name === ours.init || name === ours.proxy;

/** Requests and limits are no matter of security, and a LimitRange fills them in. */
const withoutResources = (container: Container): object =>
  isOurs(container) ? { ...container, resources: null } : container;

const byName = (list: readonly { readonly name: string }[]): Readonly<Record<string, unknown>> =>
  Object.fromEntries(list.map((each) => [each.name, each]));

/** Volumes may stand in any order; a token volume of the API server comes whenever it likes. */
const comparable = ({ metadata, spec }: PodTemplate): object => ({
  annotations: metadata?.annotations ?? {},
  spec: {
    ...spec,
    initContainers: (spec.initContainers ?? []).map(withoutResources),
    containers: spec.containers.map(withoutResources),
    volumes: byName(spec.volumes ?? []),
  },
});

const ownParts = ({ spec }: PodTemplate): object => ({
  initContainers: (spec.initContainers ?? []).filter(isOurs).map(withoutResources),
  containers: [...spec.containers, ...(spec.ephemeralContainers ?? [])].filter(isOurs),
});

/** An object or a list. */
const hasParts = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

/** The path of the first field that differs; null where all is the same. */
function firstDifference(a: unknown, b: unknown, path: string): string | null {
  if (!hasParts(a) || !hasParts(b)) return a === b ? null : path;
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const found = firstDifference(a[key], b[key], `${path}/${key}`);
    if (found !== null) return found;
  }
  return null;
}
