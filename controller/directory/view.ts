/**
 * What the proxies of one project see: their project and its mutual peers in full, and the cluster's own Services that
 * every pod may need. Everything, or what changed since a number. Pure.
 */
import type { DocumentProject, DocumentService, DocumentWorkload } from "../../lib/directory/document.ts";
import type { ClusterAddresses } from "./addresses.ts";
import type { ClusterState, Entry, ServicePair } from "./state.ts";

/** Services that `strict` lets pods reach without a rule: they are known to everybody. */
const clusterServices: readonly (readonly [namespace: string, service: string])[] = [
  ["default", "default/kubernetes"],
  ["kube-system", "kube-system/kube-dns"],
  ["openshift-dns", "openshift-dns/dns-default"],
];

export type Delta = {
  readonly full: boolean;
  /** Null: unchanged. */
  readonly cluster: ClusterAddresses | null;
  readonly projects: readonly DocumentProject[];
  readonly workloads: readonly DocumentWorkload[];
  readonly services: readonly DocumentService[];
  readonly removedProjects: readonly string[];
  readonly removedWorkloads: readonly string[];
  readonly removedServices: readonly string[];
};

/** The own project first, then its mutual peers by name; empty while the project is none. */
export function visibleProjects(project: string, state: ClusterState): readonly string[] {
  const own = state.entriesOf(project)?.project.value;
  if (own === null || own === undefined) return [];
  const peers = own.peers.filter(({ name, uid }) => {
    const peer = name === project ? null : state.entriesOf(name)?.project.value;
    return peer !== null && peer !== undefined && peer.uid === uid && names(peer, own);
  });
  return [project, ...peers.map(({ name }) => name).toSorted()];
}

const names = ({ peers }: DocumentProject, { name, uid }: DocumentProject): boolean =>
  peers.some((peer) => peer.name === name && peer.uid === uid);

type Collected = { readonly [K in keyof Omit<Delta, "full" | "cluster">]: Delta[K][number][] };

/** `since` null: everything. */
export function deltaFor(visible: readonly string[], state: ClusterState, since: number | null): Delta {
  const after = since ?? -1;
  // First: what Services may claim depends on it.
  const { value, change } = state.cluster;
  const collected: Collected = {
    projects: [],
    workloads: [],
    services: [],
    removedProjects: [],
    removedWorkloads: [],
    removedServices: [],
  };
  for (const [index, name] of visible.entries()) collect(collected, { name, state, after, isOwn: index === 0 });
  for (const [namespace, service] of clusterServices) {
    const entry = visible.includes(namespace) ? undefined : state.entriesOf(namespace)?.services.get(service);
    if (entry !== undefined && entry.change > after) addService(collected, service, entry, false);
  }
  const full = since === null;
  // A pod that claims an address of two visible projects is in both.
  const workloads = [...new Map(collected.workloads.map((workload) => [workload.uid, workload])).values()];
  const remains = (uid: string): boolean =>
    visible.some((name) => (state.entriesOf(name)?.workloads.get(uid)?.value ?? null) !== null);
  const removedWorkloads = collected.removedWorkloads.filter((uid) => !remains(uid));
  const gone = full ? { removedProjects: [], removedWorkloads: [], removedServices: [] } : { removedWorkloads };
  return { ...collected, workloads, ...gone, full, cluster: change > after || full ? value : null };
}

type Part = {
  readonly name: string;
  readonly state: ClusterState;
  readonly after: number;
  readonly isOwn: boolean;
};

function collect(collected: Collected, { name, state, after, isOwn }: Part): void {
  const entries = state.entriesOf(name);
  if (entries === undefined) return;
  const { project, workloads, services } = entries;
  if (project.change > after) {
    if (project.value === null) collected.removedProjects.push(name);
    else collected.projects.push(project.value);
  }
  for (const [uid, entry] of workloads) {
    if (entry.change <= after) continue;
    if (entry.value === null) collected.removedWorkloads.push(uid);
    else collected.workloads.push(entry.value);
  }
  for (const [key, entry] of services) if (entry.change > after) addService(collected, key, entry, isOwn);
}

function addService(collected: Collected, key: string, { value }: Entry<ServicePair>, isOwn: boolean): void {
  const service = isOwn ? value?.own : value?.foreign;
  if (service === null || service === undefined) collected.removedServices.push(key);
  else collected.services.push(service);
}
