/** The directory document (docs/directory.md) from the pods of a cluster, without what it need not say. Pure. */
import type {
  DirectoryDocument as WholeDocument,
  DocumentEndpoint,
  DocumentProject,
  DocumentService,
  DocumentWorkload,
} from "../../lib/directory/document.ts";
import type { Mode } from "../../lib/project/mode.ts";

export type ProjectEntry = Omit<DocumentProject, "mode" | "allowFromDryRun"> & { readonly mode: Mode };

/** What a pod may say to be stricter than its project. */
export type Narrowing = Partial<Pick<DocumentWorkload, "dryRun" | "nodeSources" | "allowEgress" | "allowIngress">>;

/** Without `tunnelPort`: in the project but not protected. */
export type WorkloadEntry = Narrowing &
  Pick<DocumentWorkload, "project" | "serviceAccount" | "pod" | "uid" | "ips" | "mode" | "allowFrom"> & {
    readonly tunnelPort?: number;
  };

export type ServiceEntry = Omit<DocumentService, "endpoints"> & {
  readonly endpoints: readonly Omit<DocumentEndpoint, "node">[];
};

export type DirectoryDocument = Omit<WholeDocument, "lookUpRanges" | "projects" | "workloads" | "services"> & {
  readonly projects: readonly ProjectEntry[];
  readonly workloads: readonly WorkloadEntry[];
  readonly services: readonly ServiceEntry[];
};

/** The bridge's own addresses are those of the node; VIPs are of no network at all, as in a cluster. */
export const network = {
  gateways: ["10.77.0.1", "fd77::1"],
  clusterRanges: ["10.77.0.0/24", "10.96.0.0/12", "fd77::/64", "fd96::/112"],
  /** Nobody holds it; its frames are flooded over the bridge. */
  nobody: "10.77.0.254",
} as const;

export type ProjectOptions = Partial<Omit<ProjectEntry, "name">>;

const zeros = "00000000-0000-4000-8000-";

/** A uid that looks like those of Kubernetes and says in a log what it belongs to: the kind's digit and a number. */
export const uid = (kind: "namespace" | "account" | "pod", index: number): string => {
  const digit = { namespace: "a", account: "b", pod: "c" }[kind];
  return `${zeros}${digit}${index.toString(16).padStart(11, "0")}`;
};

export const project = (name: string, index: number, options: ProjectOptions): ProjectEntry => ({
  uid: uid("namespace", index),
  mode: "project",
  dryRun: null,
  peers: [],
  nodeSources: null,
  udp: "allow",
  allowEgress: [],
  allowIngress: [],
  allowFrom: [],
  ...options,
  name,
});

export type ServiceOptions = {
  readonly project: string;
  readonly name: string;
  readonly vips: readonly string[];
  /** Service port to the port of the pods. */
  readonly ports: Readonly<Record<number, number>>;
  readonly endpoints: readonly { readonly ips: readonly string[] }[];
  readonly ready?: boolean;
  readonly sessionAffinity?: ServiceEntry["sessionAffinity"];
  readonly appProtocol?: string | null;
};

/** Every address of an endpoint's pod of a family that the Service has a VIP of. */
export function service(options: ServiceOptions): ServiceEntry {
  const families = new Set(options.vips.map((vip) => vip.includes(":")));
  const ips = options.endpoints.flatMap((pod) => pod.ips.filter((ip) => families.has(ip.includes(":"))));
  const ready = options.ready ?? true;
  return {
    project: options.project,
    name: options.name,
    vips: options.vips,
    sessionAffinity: options.sessionAffinity ?? "None",
    internalTrafficPolicy: "Cluster",
    ports: Object.keys(options.ports).map((port) => ({
      port: Number(port),
      nodePort: null,
      appProtocol: options.appProtocol ?? null,
    })),
    endpoints: ips.map((ip) => ({ ip, ports: options.ports, ready, serving: ready, terminating: false, zone: null })),
  };
}
