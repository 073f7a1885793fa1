/** Whether a pod is to be injected: the one function that webhook, validation, command line and dry run ask. Pure. */
import { annotations, caAudience, containers as ours } from "../kube/names.ts";
import type { Container, Namespace, Pod } from "../kube/objects.ts";
import { foreignToken, mountsOwnVolume } from "../kube/own-volumes.ts";
import { strictest } from "../project/mode.ts";
import type { Mode } from "../project/mode.ts";
import { isProject, readPodSettings, readProjectSettings } from "../project/settings.ts";
import type { InjectConfig } from "./config.ts";
import type { InjectReason } from "./reasons.ts";

export type Report =
  | { readonly kind: "injectable"; readonly uid: number; readonly mode: Mode; readonly udp: "allow" | "dns-only" }
  | { readonly kind: "skip"; readonly reason: InjectReason }
  | { readonly kind: "refuse"; readonly reason: InjectReason; readonly detail: string };

type PodLike = Pick<Pod, "spec"> & { readonly metadata: Partial<Pod["metadata"]> };
type NamespaceLike = { readonly metadata: Partial<Namespace["metadata"]> };

const skip = (reason: InjectReason): Report => ({ kind: "skip", reason });
const refuse = (reason: InjectReason, detail = ""): Report => ({ kind: "refuse", reason, detail });

export function report(pod: PodLike, namespace: NamespaceLike, config: InjectConfig): Report {
  const { spec } = pod;
  if (!isProject(namespace.metadata)) return skip("project_not_labelled");
  // Injected or not: it would see the proxies of others.
  if (spec.hostPID === true) return refuse("host_pid");
  const taken = takenFromProxy(pod);
  if (taken !== null) return taken;
  const skipped = isMirror(pod) ? "mirror_pod" : skipReason(pod, namespace);
  if (skipped !== null) return skip(skipped);
  if (spec.shareProcessNamespace === true) return refuse("shared_processes");
  const { settings } = readProjectSettings(namespace.metadata, config.defaultMode);
  const mode = strictest(settings.mode, readPodSettings(pod.metadata).settings.mode);
  const privileged = mode === "strict" ? whoMayUndoRules(pod) : null;
  if (privileged !== null) return refuse("privileged_container", privileged);
  const uid = proxyUid(pod, namespace, config);
  return uid === null ? refuse("proxy_uid_taken") : { kind: "injectable", uid, mode, udp: settings.udp };
}

/** Anybody may write that on a pod: it makes nothing exempt. */
export const isMirror = ({ metadata }: Pick<PodLike, "metadata">): boolean =>
  metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined;

/** What is the proxy's alone and a container would have; also of a pod that is skipped, for which it is of no use. */
function takenFromProxy({ spec }: PodLike): Report | null {
  const volume = foreignToken(spec, caAudience);
  if (volume !== undefined) return refuse("ca_token", volume.name);
  const container = applicationContainers({ spec }).find(mountsOwnVolume);
  return container === undefined ? null : refuse("proxy_volume", container.name);
}

/** Why a pod of a project runs without a proxy by right; null where it has to have one. */
export function skipReason({ spec, metadata }: PodLike, namespace: NamespaceLike): InjectReason | null {
  if (spec.hostNetwork === true) return "host_network";
  if (spec.os?.name === "windows") return "windows";
  const choice = metadata.annotations?.[annotations.inject];
  if (choice === "disabled") return "inject_disabled";
  // What is neither of the two words asks for nothing that would loosen.
  if (choice !== undefined) return null;
  // The mode plays no part here.
  const { settings } = readProjectSettings(namespace.metadata, "strict");
  return settings.defaultInjection ? null : "default_disabled";
}

export const applicationContainers = ({ spec }: Pick<Pod, "spec">): readonly Container[] =>
  [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])].filter(
    ({ name }) => name !== ours.init && name !== ours.proxy,
  );

type SecurityContext = {
  readonly privileged?: boolean;
  readonly capabilities?: { readonly add?: readonly string[] };
};

/**
 * They change the rules or go past them (NET), reach the proxy's memory or the kernel's (the other ones), or open files of the
 * node by their number, other pods' tokens among them (DAC_READ_SEARCH).
 */
const riskyCapabilities: readonly string[] = [
  "NET_ADMIN",
  "NET_RAW",
  "SYS_ADMIN",
  "SYS_PTRACE",
  "SYS_MODULE",
  "SYS_RAWIO",
  "BPF",
  "PERFMON",
  "DAC_READ_SEARCH",
  "ALL",
];

/** The first such container's name; null where no container may. */
export const whoMayUndoRules = (pod: Pick<Pod, "spec">): string | null =>
  applicationContainers(pod).find(mayUndoRules)?.name ?? null;

export function mayUndoRules({ securityContext }: Container): boolean {
  const { privileged, capabilities } = (securityContext ?? {}) as SecurityContext;
  const added = (capabilities?.add ?? []).map((name) => name.toUpperCase().replace(/^CAP_/, ""));
  return privileged === true || added.some((name) => riskyCapabilities.includes(name));
}

const openshiftRange = /^([0-9]{1,10})[/-]([0-9]{1,10})$/;
/** How many further UIDs are tried where a container has the first one. */
const attempts = 16;

/**
 * Differs from every UID that the pod declares: who runs under the proxy's UID is not captured. On OpenShift it is taken
 * from the end of the namespace's range, whose beginning is what pods get. An image's own USER cannot be seen here.
 */
function proxyUid(
  { spec }: PodLike,
  { metadata }: NamespaceLike,
  { proxyUid: configured }: InjectConfig,
): number | null {
  const taken = new Set([
    spec.securityContext?.runAsUser,
    ...applicationContainers({ spec }).map((c) => c.securityContext?.runAsUser),
  ]);
  const [, start, size] = openshiftRange.exec(metadata.annotations?.["openshift.io/sa.scc.uid-range"] ?? "") ?? [];
  const isRange = start !== undefined && size !== undefined && Number(size) > 1;
  const [first, step] = isRange ? [Number(start) + Number(size) - 1, -1] : [configured, 1];
  const limit = isRange ? Math.min(attempts, Number(size) - 1) : attempts;
  for (let index = 0; index < limit; index++) {
    const uid = first + index * step;
    if (!taken.has(uid)) return uid;
  }
  return null;
}
