/**
 * The directory document as plain data, exactly the JSON of docs/directory.md: what the controller makes of a cluster and
 * what a proxy reads, from a file or put together from a stream. Only the reader (proxy/route/document.ts) judges it. Pure.
 */
export type DocumentProject = {
  readonly name: string;
  readonly uid: string;
  readonly mode: string;
  readonly dryRun: string | null;
  readonly peers: readonly { readonly name: string; readonly uid: string }[];
  readonly nodeSources: string | null;
  readonly udp: string;
  readonly allowEgress: readonly string[];
  readonly allowIngress: readonly string[];
  readonly allowFrom: readonly string[];
  readonly allowFromDryRun: readonly string[];
};

export type DocumentWorkload = {
  readonly project: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly uid: string;
  readonly ips: readonly string[];
  /** Null: in the project but not protected. */
  readonly tunnelPort: number | null;
  readonly mode: string | null;
  readonly dryRun: string | null;
  readonly nodeSources: string | null;
  /** Null: all that the project names. */
  readonly allowEgress: readonly string[] | null;
  readonly allowIngress: readonly string[] | null;
  readonly allowFrom: readonly string[];
  readonly allowFromDryRun: readonly string[];
  readonly node: string | null;
  /** Ports of its node that lead to it. */
  readonly hostPorts: readonly { readonly ip: string; readonly port: number; readonly targetPort: number }[];
};

export type DocumentEndpoint = {
  readonly ip: string;
  /** Port of the Service, as text, to port of the endpoint. */
  readonly ports: Readonly<Record<string, number>>;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly zone: string | null;
  readonly node: string | null;
};

export type DocumentService = {
  readonly project: string;
  readonly name: string;
  readonly vips: readonly string[];
  readonly sessionAffinity: string;
  readonly internalTrafficPolicy: string;
  readonly ports: readonly {
    readonly port: number;
    readonly nodePort: number | null;
    readonly appProtocol: string | null;
  }[];
  readonly endpoints: readonly DocumentEndpoint[];
};

export type DirectoryDocument = {
  readonly version: number;
  readonly requires: readonly string[];
  readonly clusterRanges: readonly string[];
  readonly lookUpRanges: readonly string[];
  readonly nodeAddresses: readonly string[];
  readonly projects: readonly DocumentProject[];
  readonly workloads: readonly DocumentWorkload[];
  readonly services: readonly DocumentService[];
};
