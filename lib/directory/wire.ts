/** The directory's messages to entries of the document and back. Proto has no null: what is empty there is absent here. Pure. */
import type { Project, Rules, Service, Workload } from "../proto/gen/tencrypt/directory/v1/directory.ts";
import type { DocumentProject, DocumentService, DocumentWorkload } from "./document.ts";

const orNull = (text: string): string | null => (text === "" ? null : text);
const toRules = (entries: readonly string[] | null): Rules | undefined =>
  entries === null ? undefined : { entries: [...entries] };
const portOrNull = (port: number): number | null => (port === 0 ? null : port);

export const toProject = (project: DocumentProject): Project => ({
  name: project.name,
  uid: project.uid,
  mode: project.mode,
  dryRun: project.dryRun ?? "",
  peers: project.peers.map(({ name, uid }) => ({ name, uid })),
  nodeSources: project.nodeSources ?? "",
  udp: project.udp,
  allowEgress: [...project.allowEgress],
  allowIngress: [...project.allowIngress],
  allowFrom: [...project.allowFrom],
  allowFromDryRun: [...project.allowFromDryRun],
});

export const fromProject = (project: Project): DocumentProject => ({
  ...project,
  dryRun: orNull(project.dryRun),
  nodeSources: orNull(project.nodeSources),
});

/**
 * As everybody is told of it but the pod itself. What a pod lets in and out concerns nobody else, and is as long as its author
 * likes: the lists of some hundred pods would be more than a proxy reads of a whole update.
 */
export const toWorkload = (workload: DocumentWorkload): Workload => toOwnWorkload({ ...workload, ...untold });

const untold = {
  dryRun: null,
  nodeSources: null,
  allowEgress: null,
  allowIngress: null,
  allowFrom: [],
  allowFromDryRun: [],
} as const;

export const toOwnWorkload = (workload: DocumentWorkload): Workload => ({
  project: workload.project,
  serviceAccount: workload.serviceAccount,
  pod: workload.pod,
  uid: workload.uid,
  ips: [...workload.ips],
  tunnelPort: workload.tunnelPort ?? 0,
  mode: workload.mode ?? "",
  allowFrom: [...workload.allowFrom],
  allowFromDryRun: [...workload.allowFromDryRun],
  node: workload.node ?? "",
  hostPorts: workload.hostPorts.map((hostPort) => ({ ...hostPort })),
  dryRun: workload.dryRun ?? "",
  nodeSources: workload.nodeSources ?? "",
  allowEgress: toRules(workload.allowEgress),
  allowIngress: toRules(workload.allowIngress),
});

export const fromWorkload = (workload: Workload): DocumentWorkload => ({
  ...workload,
  tunnelPort: portOrNull(workload.tunnelPort),
  mode: orNull(workload.mode),
  dryRun: orNull(workload.dryRun),
  nodeSources: orNull(workload.nodeSources),
  allowEgress: workload.allowEgress?.entries ?? null,
  allowIngress: workload.allowIngress?.entries ?? null,
  node: orNull(workload.node),
});

export const toService = (service: DocumentService): Service => ({
  project: service.project,
  name: service.name,
  vips: [...service.vips],
  sessionAffinity: service.sessionAffinity,
  internalTrafficPolicy: service.internalTrafficPolicy,
  ports: service.ports.map(({ port, nodePort, appProtocol }) => ({
    port,
    nodePort: nodePort ?? 0,
    appProtocol: appProtocol ?? "",
  })),
  endpoints: service.endpoints.map((endpoint) => ({
    ip: endpoint.ip,
    ports: Object.fromEntries(Object.entries(endpoint.ports).map(([port, target]) => [Number(port), target])),
    ready: endpoint.ready,
    serving: endpoint.serving,
    terminating: endpoint.terminating,
    zone: endpoint.zone ?? "",
    node: endpoint.node ?? "",
  })),
});

export const fromService = (service: Service): DocumentService => ({
  ...service,
  ports: service.ports.map(({ port, nodePort, appProtocol }) => ({
    port,
    nodePort: portOrNull(nodePort),
    appProtocol: orNull(appProtocol),
  })),
  endpoints: service.endpoints.map((endpoint) => ({
    ...endpoint,
    ports: Object.fromEntries(Object.entries(endpoint.ports)),
    zone: orNull(endpoint.zone),
    node: orNull(endpoint.node),
  })),
});
