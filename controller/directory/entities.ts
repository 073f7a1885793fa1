/**
 * From Kubernetes objects to entries of the directory document, one object at a time. The rules of addresses are here:
 *
 * - a pod on the host's network, or one that has ended, holds no address; one that is being deleted still does;
 * - whether a pod is protected is read from its spec, which cannot change;
 * - a Service's own addresses are its cluster IPs; external and load-balancer addresses are for its own project only, and
 *   only where they belong to nobody else;
 * - an endpoint has the address and ports that its slice says, whatever its Service says;
 * - what a proxy would refuse to read is not told, whoever wrote it: one such entry would keep all others from it.
 *
 * Pure.
 */
import type {
  DocumentEndpoint,
  DocumentProject,
  DocumentService,
  DocumentWorkload,
} from "../../lib/directory/document.ts";
import { most } from "../../lib/directory/bounds.ts";
import type { EndpointSlice, Namespace, Pod, Service } from "../../lib/kube/objects.ts";
import { addressesOf, readSidecar } from "../../lib/kube/sidecar.ts";
import { isOfHost, isPort, parseIp } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { Mode } from "../../lib/project/mode.ts";
import { readPodSettings, readProjectSettings } from "../../lib/project/settings.ts";

export function projectOf({ metadata }: Namespace, defaultMode: Mode): DocumentProject {
  const { settings } = readProjectSettings(metadata, defaultMode);
  return {
    name: metadata.name,
    uid: metadata.uid,
    mode: settings.mode,
    dryRun: settings.dryRun,
    // An entry without a uid means nobody yet.
    peers: settings.peers.flatMap(({ name, uid }) => (uid === null ? [] : [{ name, uid }])),
    nodeSources: settings.nodeSources,
    udp: settings.udp,
    allowEgress: settings.allowEgress,
    allowIngress: settings.allowIngress,
    allowFrom: settings.allowFrom,
    allowFromDryRun: settings.allowFromDryRun,
  };
}

/** Null for what no pod, node or Service can have; API servers do not mind that everywhere. */
export function readIp(address: string): Ip | null {
  const ip = parseIp(address);
  return ip !== null && isOfHost(ip) ? ip : null;
}

const canonical = (addresses: readonly string[]): readonly string[] => [
  ...new Set(addresses.map(readIp).filter((ip) => ip !== null)),
];

const passedOn = (text: string | null | undefined): string | null =>
  text === null || text === undefined || text.length > most.text ? null : text;

/** Null for a pod that holds no address. */
export function workloadOf(pod: Pod): DocumentWorkload | null {
  const ips = canonical(addressesOf(pod));
  if (ips.length === 0) return null;
  const sidecar = readSidecar(pod);
  const { settings } = readPodSettings(pod.metadata);
  return {
    project: pod.metadata.namespace ?? "",
    serviceAccount: pod.spec.serviceAccountName ?? "default",
    pod: pod.metadata.name,
    uid: pod.metadata.uid,
    ips,
    tunnelPort: sidecar.kind === "sidecar" ? sidecar.tunnelPort : null,
    mode: settings.mode,
    dryRun: settings.dryRun,
    nodeSources: settings.nodeSources,
    allowEgress: settings.allowEgress,
    allowIngress: settings.allowIngress,
    allowFrom: settings.allowFrom,
    allowFromDryRun: settings.allowFromDryRun,
    node: pod.spec.nodeName ?? null,
    hostPorts: hostPortsOf(pod),
  };
}

const isTcp = (protocol: string | null | undefined): boolean => (protocol ?? "TCP") === "TCP";
const anyAddress: ReadonlySet<string> = new Set(["", "0.0.0.0", "::"]);

/**
 * On the addresses that the API shows of the pod's node, one of each family: of others of that node nothing is known, and
 * what a pod writes as `hostIP` may be another node's.
 */
function hostPortsOf({ spec, status }: Pod): DocumentWorkload["hostPorts"] {
  const ofNode = canonical([...(status?.hostIPs ?? []).map(({ ip }) => ip ?? ""), status?.hostIP ?? ""]);
  const ports = [...(spec.initContainers ?? []), ...spec.containers].flatMap((container) => container.ports ?? []);
  return ports.flatMap(({ hostPort = 0, hostIP = "", containerPort, protocol }) =>
    hostPort === 0 || !isTcp(protocol)
      ? []
      : ofNode
          .filter((ip) => anyAddress.has(hostIP) || parseIp(hostIP) === ip)
          .map((ip) => ({ ip, port: hostPort, targetPort: containerPort })),
  );
}

export const clusterIpsOf = ({ spec }: Service): readonly string[] =>
  spec.type === "ExternalName" ? [] : canonical([...(spec.clusterIPs ?? []), spec.clusterIP ?? ""]);

/** A Service has one of each family. */
const mostClusterIps = 2;

/** As claimed: whoever may make a Service writes what it likes here, and as much. */
export const claimedIpsOf = ({ spec, status }: Service): readonly string[] =>
  canonical([...(spec.externalIPs ?? []), ...balancedIps(status)]).slice(0, most.ips - mostClusterIps);

/** `ipMode: Proxy`: the load balancer itself has to see the connection, and nobody may go round it. */
const balancedIps = (status: Service["status"]): readonly string[] =>
  (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, ipMode }) =>
    ip === undefined || ipMode === "Proxy" ? [] : [ip],
  );

const portsToTell = ({ spec }: Service): NonNullable<Service["spec"]["ports"]> =>
  (spec.ports ?? []).filter(({ protocol }) => isTcp(protocol)).slice(0, most.ports);

/** `vips` are the addresses that count for whom this is made. Null for a Service that has none. */
export function serviceOf(
  service: Service,
  slices: readonly EndpointSlice[],
  vips: readonly string[],
): DocumentService | null {
  const ports = portsToTell(service);
  if (ports.length === 0 || vips.length === 0) return null;
  return {
    project: service.metadata.namespace ?? "",
    name: service.metadata.name,
    vips,
    sessionAffinity: service.spec.sessionAffinity === "ClientIP" ? "ClientIP" : "None",
    internalTrafficPolicy: service.spec.internalTrafficPolicy === "Local" ? "Local" : "Cluster",
    ports: ports.map(({ port, nodePort, appProtocol }) => ({
      port,
      nodePort: nodePort ?? null,
      appProtocol: passedOn(appProtocol),
    })),
    endpoints: endpointsOf(service, slices),
  };
}

/** Octets that a Service takes in an update, about. */
export const sizeOf = ({ vips, ports, endpoints }: DocumentService): number =>
  100 +
  20 * vips.length +
  ports.reduce((sum, { appProtocol }) => sum + 20 + (appProtocol?.length ?? 0), 0) +
  endpoints.reduce(
    (sum, { zone, node, ports: own }) =>
      sum + 60 + (zone?.length ?? 0) + (node?.length ?? 0) + 10 * Object.keys(own).length,
    0,
  );

/** What is told of a Service for which there is no room: its addresses, so that nobody takes them for somebody else's. */
export const withoutPorts = (service: DocumentService): DocumentService => ({ ...service, ports: [], endpoints: [] });

/** Of a Service, by the ports of its endpoints: beyond them endpoints are left out. One is worth so many ports itself. */
const mostPorts = 100_000;
const worthOfEndpoint = 10;

/** One entry an address: slices divide a Service by family, by size and by the ports that pods give the same name. */
function endpointsOf(service: Service, slices: readonly EndpointSlice[]): readonly DocumentEndpoint[] {
  const byIp = new Map<string, DocumentEndpoint>();
  let room = mostPorts;
  for (const slice of slices.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
    if (slice.addressType !== "IPv4" && slice.addressType !== "IPv6") continue;
    const ports = portsOf(service, slice);
    const cost = worthOfEndpoint + Object.keys(ports).length;
    for (const endpoint of slice.endpoints ?? []) {
      if (cost > room) break;
      const ip = readIp(endpoint.addresses[0] ?? "");
      if (ip === null) continue;
      room -= cost;
      const before = byIp.get(ip)?.ports;
      // Endpoints of one slice share what they have in common.
      byIp.set(ip, endpointOf(ip, endpoint, before === undefined ? ports : { ...before, ...ports }));
    }
  }
  return [...byIp.values()];
}

type SliceEndpoint = NonNullable<EndpointSlice["endpoints"]>[number];

function endpointOf(
  ip: string,
  { conditions = {}, zone, nodeName }: SliceEndpoint,
  ports: DocumentEndpoint["ports"],
): DocumentEndpoint {
  // Absent means ready; a Service that publishes pods which are not ready says ready for each of them.
  const ready = conditions.ready ?? true;
  return {
    ip,
    ports,
    ready,
    serving: conditions.serving ?? ready,
    terminating: conditions.terminating ?? false,
    zone: passedOn(zone),
    node: nodeName ?? null,
  };
}

/** Port of the Service to port of the slice, by the name that both have. */
function portsOf(service: Service, slice: EndpointSlice): Readonly<Record<string, number>> {
  const numbers = new Map<string, number>();
  for (const { name, port, protocol } of slice.ports ?? [])
    // An API server takes any number here.
    if (isTcp(protocol) && isPort(port)) numbers.set(name ?? "", port);
  const ports: Record<string, number> = {};
  for (const { name, port } of portsToTell(service)) {
    const number = numbers.get(name ?? "");
    if (number !== undefined) ports[String(port)] = number;
  }
  return ports;
}
