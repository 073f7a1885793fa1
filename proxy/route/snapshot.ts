/**
 * The directory snapshot as the proxy uses it (contract): who holds which address. Immutable once built. Pure.
 */
import type { Cidr } from "../../lib/net/cidr.ts";
import type { Mode } from "../../lib/project/mode.ts";
import type { AddressRule, CallerRule, IngressRule } from "../../lib/project/rules.ts";
import type { Endpoint, Ip } from "../../lib/net/address.ts";

export type Workload = {
  readonly project: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly uid: string;
  readonly ips: readonly Ip[];
  /** Null: in the project but not protected. */
  readonly tunnelPort: number | null;
  readonly mode: Mode | null;
  readonly dryRun: Mode | null;
  readonly nodeSources: "accept" | "refuse" | null;
  /** Null: all that the project names. */
  readonly allowEgress: readonly AddressRule[] | null;
  readonly allowIngress: readonly IngressRule[] | null;
  readonly allowFrom: readonly CallerRule[];
  /** Rules that are tried but not enforced: what they would refuse is reported. */
  readonly allowFromDryRun: readonly CallerRule[];
  /** Name of the node that it runs on, where that is known. */
  readonly node: string | null;
  readonly hostPorts: readonly HostPort[];
};

/** A port of a node that leads to a port of the pod there. */
export type HostPort = { readonly at: Endpoint; readonly targetPort: number };

export type Project = {
  readonly name: string;
  readonly uid: string;
  readonly mode: Mode;
  readonly dryRun: Mode | null;
  readonly peers: readonly { readonly name: string; readonly uid: string }[];
  readonly nodeSources: "accept" | "refuse" | null;
  readonly udp: "allow" | "dns-only";
  readonly allowEgress: readonly AddressRule[];
  /** Who may come in clear: by address, or by the name that the directory gives the source address. */
  readonly allowIngress: readonly IngressRule[];
  readonly allowFrom: readonly CallerRule[];
  readonly allowFromDryRun: readonly CallerRule[];
};

export type ServiceEndpoint = {
  readonly ip: Ip;
  /** Service port to the endpoint's port. */
  readonly ports: ReadonlyMap<number, number>;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly zone: string | null;
  readonly node: string | null;
};

export type ServicePort = {
  readonly port: number;
  readonly nodePort: number | null;
  readonly appProtocol: string | null;
};

export type Service = {
  readonly project: string;
  readonly name: string;
  /** `project/name`. */
  readonly fullName: string;
  readonly vips: readonly Ip[];
  readonly sessionAffinity: "None" | "ClientIP";
  readonly internalTrafficPolicy: "Cluster" | "Local";
  readonly ports: readonly ServicePort[];
  readonly endpoints: readonly ServiceEndpoint[];
  /** For each port of the Service the endpoints to choose from. */
  readonly backends: ReadonlyMap<number, Backends>;
};

/**
 * By the family of the address that was dialled: the ready endpoints, or, where none is ready, those that still serve
 * while they terminate. Those of the dialled family, or, where there is none, all. Empty where there is neither.
 */
export type Backends = { readonly ipv4: readonly Endpoint[]; readonly ipv6: readonly Endpoint[] };

/** Who holds an address. A conflict is an address that two live pods claim. */
export type Holder =
  | { readonly kind: "pod"; readonly workload: Workload }
  | { readonly kind: "conflict"; readonly workloads: readonly Workload[] };

export type NodePort = { readonly service: Service; readonly port: number };

export type Snapshot = {
  readonly version: number;
  readonly clusterRanges: readonly Cidr[];
  /** Where pods may be, when their ranges are not known: an address that a look-up finds with nobody is external. */
  readonly lookUpRanges: readonly Cidr[];
  readonly nodeAddresses: ReadonlySet<Ip>;
  readonly projects: ReadonlyMap<string, Project>;
  readonly holders: ReadonlyMap<Ip, Holder>;
  readonly vips: ReadonlyMap<Ip, Service>;
  /** Addresses of Services of projects that are not told in full: `project/name`. */
  readonly foreignVips: ReadonlyMap<Ip, string>;
  /** By the port on the nodes. */
  readonly nodePorts: ReadonlyMap<number, NodePort>;
  /** By `ip:port` on a node: the pod's own endpoint. */
  readonly hostPorts: ReadonlyMap<string, { readonly workload: Workload; readonly endpoint: Endpoint }>;
};

/** The pods that claim an address: more than one is a conflict. */
export function podsAt(snapshot: Snapshot, ip: Ip): readonly Workload[] {
  const holder = snapshot.holders.get(ip);
  if (holder === undefined) return [];
  return holder.kind === "pod" ? [holder.workload] : holder.workloads;
}

/** As it is reported. */
export const podName = ({ project, pod }: Pick<Workload, "project" | "pod">): string => `${project}/${pod}`;

const mostNamed = 8;

/** Of those that claim one address; the first few are enough to find the cause. */
export function podNames(workloads: readonly Workload[]): string {
  const names = workloads.slice(0, mostNamed).map(podName).join(", ");
  return workloads.length > mostNamed ? `${names} and ${workloads.length - mostNamed} more` : names;
}
