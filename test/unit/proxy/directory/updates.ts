/** Updates of the stream, as a controller sends them. */
import type { Project, Service, Update, Workload } from "../../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";

export const project = (name: string, mode = "project"): Project => ({
  name,
  uid: `uid-${name}`,
  mode,
  dryRun: "",
  peers: [],
  nodeSources: "",
  udp: "dns-only",
  allowEgress: [],
  allowIngress: [],
  allowFrom: [],
  allowFromDryRun: [],
});

export const workload = (pod: string, ip: string): Workload => ({
  project: "shop",
  serviceAccount: "cart",
  pod,
  uid: `uid-${pod}`,
  ips: [ip],
  tunnelPort: 15_008,
  mode: "",
  dryRun: "",
  nodeSources: "",
  allowEgress: undefined,
  allowIngress: undefined,
  hostPorts: [],
  allowFrom: [],
  allowFromDryRun: [],
  node: "n1",
});

export const service = (name: string, vip: string): Service => ({
  project: "shop",
  name,
  vips: [vip],
  sessionAffinity: "None",
  internalTrafficPolicy: "Cluster",
  ports: [{ port: 80, nodePort: 0, appProtocol: "" }],
  endpoints: [],
});

export const cluster = { requires: [], clusterRanges: ["10.0.0.0/8"], lookUpRanges: [], nodeAddresses: ["192.0.2.1"] };

export const update = (version: bigint, change: Partial<Update>): Update => ({
  version,
  resume: `r${version}`,
  revisions: [],
  full: false,
  cluster: undefined,
  projects: [],
  workloads: [],
  services: [],
  removedProjects: [],
  removedWorkloads: [],
  removedServices: [],
  forget: [],
  ...change,
});

export const whole = (version: bigint, change: Partial<Update> = {}): Update =>
  update(version, {
    full: true,
    cluster,
    projects: [project("shop")],
    workloads: [workload("cart-1", "10.0.0.1")],
    services: [service("web", "10.96.0.1")],
    ...change,
  });
