/**
 * The directory snapshot as the proxy uses it (contract): who holds which address. Immutable once built. Pure.
 */
import type { Cidr } from "../../lib/net/cidr.ts";
import type { Ip } from "../../lib/net/address.ts";

export type Mode = "permissive" | "project" | "strict";

export type Workload = {
  readonly project: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly uid: string;
  readonly ips: readonly Ip[];
  /** Null: in the project but not protected. */
  readonly tunnelPort: number | null;
  readonly mode: Mode | null;
  readonly allowFrom: readonly CallerRule[];
};

/** `<project>/<service account>[:port]`. */
export type CallerRule = { readonly project: string; readonly serviceAccount: string; readonly port: number | null };

/** `CIDR[:port]`, `[CIDR6]:port`. */
export type AddressRule = { readonly cidr: Cidr; readonly port: number | null };

export type Project = {
  readonly name: string;
  readonly uid: string;
  readonly mode: Mode;
  readonly dryRun: Mode | null;
  readonly peers: readonly { readonly name: string; readonly uid: string }[];
  readonly nodeSources: "accept" | "refuse" | null;
  readonly udp: "allow" | "dns-only";
  readonly allowEgress: readonly AddressRule[];
  readonly allowIngress: readonly AddressRule[];
  readonly allowFrom: readonly CallerRule[];
};

export type ServiceEndpoint = {
  readonly ip: Ip;
  /** Service port to the endpoint's port. */
  readonly ports: ReadonlyMap<number, number>;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly zone: string | null;
};

export type Service = {
  readonly project: string;
  readonly name: string;
  readonly vips: readonly Ip[];
  readonly sessionAffinity: "None" | "ClientIP";
  readonly internalTrafficPolicy: "Cluster" | "Local";
  readonly ports: readonly { readonly port: number; readonly nodePort: number | null; readonly appProtocol: string | null }[];
  readonly endpoints: readonly ServiceEndpoint[];
};

/** Who holds an address. A conflict is an address that two live pods claim. */
export type Holder = { readonly kind: "pod"; readonly workload: Workload } | { readonly kind: "conflict"; readonly pods: readonly string[] };

export type Snapshot = {
  readonly version: number;
  readonly clusterRanges: readonly Cidr[];
  readonly nodeAddresses: ReadonlySet<Ip>;
  readonly projects: ReadonlyMap<string, Project>;
  readonly holders: ReadonlyMap<Ip, Holder>;
  readonly vips: ReadonlyMap<Ip, Service>;
  readonly nodePorts: ReadonlyMap<number, { readonly service: Service; readonly port: number }>;
};
