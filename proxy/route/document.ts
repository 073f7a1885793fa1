/**
 * The directory document: JSON text to a snapshot, or everything that is wrong with it. Pure. See docs/directory.md.
 *
 * Missing and wrong fields refuse the whole document, each told with its path; unknown ones are ignored with a
 * warning. What the document does not say never loosens: an unknown mode is `strict`, an address that two pods claim is
 * held by neither, and a document that requires a feature we do not know is refused before anything else is read.
 */
import { most } from "../../lib/directory/bounds.ts";
import { parseCidr } from "../../lib/net/cidr.ts";
import type { Endpoint } from "../../lib/net/address.ts";
import { isIpv6, parsePort } from "../../lib/net/address.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import { Field, Findings } from "./fields.ts";
import { parseAddressRule, parseCallerRule, parseIngressRule } from "../../lib/project/rules.ts";
import { buildSnapshot } from "./build.ts";
import type { Document } from "./build.ts";
import type { Backends, HostPort, Project, Service, ServiceEndpoint, ServicePort, Workload } from "./snapshot.ts";
import type { Mode } from "../../lib/project/mode.ts";
import type { AddressRule, CallerRule, IngressRule } from "../../lib/project/rules.ts";
import type { Snapshot } from "./snapshot.ts";

export type Parsed =
  | { readonly kind: "snapshot"; readonly snapshot: Snapshot; readonly warnings: readonly string[] }
  | { readonly kind: "refused"; readonly reason: Reason; readonly problems: readonly string[] };

/** Features that a document may require. None yet. */
const knownFeatures: ReadonlySet<string> = new Set();

export function parseDocument(text: string): Parsed {
  const findings = new Findings();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    // The message of JSON.parse quotes the text; its position is all that is told.
    return { kind: "refused", reason: "directory_malformed", problems: [`document: not JSON${positionIn(error)}`] };
  }
  const fields = new Field(json, findings).object(documentFields);
  const unknown = unknownFeatures(fields.requires);
  if (unknown.length > 0) return { kind: "refused", reason: "directory_requires_unknown_feature", problems: unknown };
  const document = readDocument(fields);
  const snapshot = findings.failed ? null : buildSnapshot(document, findings);
  if (snapshot === null || findings.failed) {
    return { kind: "refused", reason: "directory_malformed", problems: findings.lines() };
  }
  return { kind: "snapshot", snapshot, warnings: findings.warnings };
}

function positionIn(error: unknown): string {
  const match = /at position ([0-9]+)/.exec(String(error));
  return match === null ? "" : ` at position ${match[1]}`;
}

const documentFields = [
  "version",
  "requires",
  "clusterRanges",
  "lookUpRanges",
  "nodeAddresses",
  "projects",
  "workloads",
  "services",
] as const;
type DocumentFields = Readonly<Record<(typeof documentFields)[number], Field>>;

export function unknownFeatures(requires: Field): readonly string[] {
  if (requires.absent) return [];
  const unknown = requires.items(most.features).filter((item) => !knownFeatures.has(item.text()));
  return unknown.map((item) => `${item.path}: ${JSON.stringify(item.text())} is not known here`);
}

function readDocument(fields: DocumentFields): Document {
  return {
    version: fields.version.integer(0, Number.MAX_SAFE_INTEGER, "a whole number"),
    clusterRanges: readRanges(fields.clusterRanges),
    lookUpRanges: fields.lookUpRanges.optional([], readLookUpRanges),
    nodeAddresses: fields.nodeAddresses.optional([], (field) => field.items(most.items).map((item) => item.ip())),
    projects: fields.projects.items(most.items).map((field) => ({ field, value: readProject(field) })),
    workloads: fields.workloads.items(most.items).map((field) => ({ field, value: readWorkload(field) })),
    services: fields.services.items(most.items).map((field) => ({ field, value: readService(field) })),
  };
}

export function readRanges(field: Field): Document["clusterRanges"] {
  const ranges = readLookUpRanges(field);
  if (ranges.length === 0)
    field.warning("empty: no address can be unknown, so a pod newer than the document counts as external");
  return ranges;
}

export function readLookUpRanges(field: Field): Document["lookUpRanges"] {
  return field
    .items(most.ranges)
    .map((item) => item.parsed("a CIDR whose bits behind the prefix are zero", parseCidr))
    .filter((range) => range !== null);
}

const projectFields = [
  "name",
  "uid",
  "mode",
  "dryRun",
  "peers",
  "nodeSources",
  "udp",
  "allowEgress",
  "allowIngress",
  "allowFrom",
  "allowFromDryRun",
] as const;

export function readProject(field: Field): Project {
  const fields = field.object(projectFields);
  return {
    name: fields.name.name(),
    uid: fields.uid.uid(),
    mode: readMode(fields.mode),
    dryRun: fields.dryRun.optional(null, readMode),
    peers: fields.peers.optional([], (peers) => peers.items(most.entries).map(readPeer)),
    nodeSources: fields.nodeSources.optional(null, readNodeSources),
    udp: fields.udp.optional("dns-only", (choice) => choice.choice(["dns-only", "allow"])),
    allowEgress: readAddresses(fields.allowEgress),
    allowIngress: readSources(fields.allowIngress),
    allowFrom: readCallers(fields.allowFrom),
    allowFromDryRun: readCallers(fields.allowFromDryRun),
  };
}

function readPeer(field: Field): Project["peers"][number] {
  const fields = field.object(["name", "uid"]);
  return { name: fields.name.name(), uid: fields.uid.uid() };
}

/** A mode that is newer than this proxy is taken for the strictest one. */
function readMode(field: Field): Mode {
  const modes = ["strict", "project", "permissive"] as const;
  const known = modes.find((mode) => mode === field.value);
  if (known !== undefined) return known;
  if (typeof field.value !== "string") return field.choice(modes);
  field.warning("unknown mode, counts as strict");
  return "strict";
}

function readRules<T>(field: Field, expected: string, parse: (text: string) => T | null): readonly T[] {
  if (field.absent) return [];
  return field
    .items(most.entries)
    .map((item) => item.parsed(expected, parse))
    .filter((rule) => rule !== null);
}

const readNodeSources = (field: Field): "accept" | "refuse" => field.choice(["refuse", "accept"]);

const readAddresses = (field: Field): readonly AddressRule[] => readRules(field, "a CIDR[:port]", parseAddressRule);

const readSources = (field: Field): readonly IngressRule[] =>
  readRules(field, "a CIDR[:port] or <project>/<service account>[:port]", parseIngressRule);

const readCallers = (field: Field): readonly CallerRule[] =>
  readRules(field, "<project>/<service account>[:port]", parseCallerRule);

const workloadFields = [
  "project",
  "serviceAccount",
  "pod",
  "uid",
  "ips",
  "tunnelPort",
  "mode",
  "dryRun",
  "nodeSources",
  "allowEgress",
  "allowIngress",
  "allowFrom",
  "allowFromDryRun",
  "node",
  "hostPorts",
] as const;

export function readWorkload(field: Field): Workload {
  const fields = field.object(workloadFields);
  return {
    project: fields.project.name(),
    serviceAccount: fields.serviceAccount.name(),
    pod: fields.pod.name(),
    uid: fields.uid.uid(),
    ips: fields.ips.items(most.ips).map((item) => item.ip()),
    tunnelPort: fields.tunnelPort.optional<number | null>(null, (port) => port.port()),
    mode: fields.mode.optional<Mode | null>(null, readMode),
    dryRun: fields.dryRun.optional<Mode | null>(null, readMode),
    nodeSources: fields.nodeSources.optional<Workload["nodeSources"]>(null, readNodeSources),
    allowEgress: fields.allowEgress.optional<Workload["allowEgress"]>(null, readAddresses),
    allowIngress: fields.allowIngress.optional<Workload["allowIngress"]>(null, readSources),
    allowFrom: readCallers(fields.allowFrom),
    allowFromDryRun: readCallers(fields.allowFromDryRun),
    node: readNode(fields.node),
    hostPorts: fields.hostPorts.absent ? [] : fields.hostPorts.items(most.items).map(readHostPort),
  };
}

function readHostPort(field: Field): HostPort {
  const fields = field.object(["ip", "port", "targetPort"]);
  return { at: { ip: fields.ip.ip(), port: fields.port.port() }, targetPort: fields.targetPort.port() };
}

const readNode = (field: Field): string | null => field.optional<string | null>(null, (node) => node.name());

const serviceFields = [
  "project",
  "name",
  "vips",
  "sessionAffinity",
  "internalTrafficPolicy",
  "ports",
  "endpoints",
] as const;

export function readService(field: Field): Service {
  const fields = field.object(serviceFields);
  const project = fields.project.name();
  const name = fields.name.name();
  const ports = fields.ports.items(most.ports).map(readServicePort);
  const numbers = new Set(ports.map(({ port }) => port));
  const endpoints = fields.endpoints.items(most.items).map((endpoint) => readEndpoint(endpoint, numbers));
  return {
    project,
    name,
    fullName: `${project}/${name}`,
    vips: fields.vips.items(most.ips).map((item) => item.ip()),
    sessionAffinity: fields.sessionAffinity.optional("None", (choice) => choice.choice(["None", "ClientIP"])),
    internalTrafficPolicy: fields.internalTrafficPolicy.optional("Cluster", (choice) =>
      choice.choice(["Cluster", "Local"]),
    ),
    ports,
    endpoints,
    backends: new Map(ports.map(({ port }) => [port, backendsOf(endpoints, port)])),
  };
}

function readServicePort(field: Field): ServicePort {
  const fields = field.object(["port", "nodePort", "appProtocol"]);
  return {
    port: fields.port.port(),
    nodePort: fields.nodePort.optional<number | null>(null, (port) => port.port()),
    appProtocol: fields.appProtocol.optional<string | null>(null, (text) => text.text()),
  };
}

function readEndpoint(field: Field, servicePorts: ReadonlySet<number>): ServiceEndpoint {
  const fields = field.object(["ip", "ports", "ready", "serving", "terminating", "zone", "node"]);
  const ready = fields.ready.boolean();
  return {
    ip: fields.ip.ip(),
    ports: readPortMap(fields.ports, servicePorts),
    ready,
    serving: fields.serving.optional(ready, (value) => value.boolean()),
    terminating: fields.terminating.optional(false, (value) => value.boolean()),
    zone: fields.zone.optional<string | null>(null, (text) => text.text()),
    node: readNode(fields.node),
  };
}

/** Service port to endpoint port: a JSON object's keys are texts. */
function readPortMap(field: Field, servicePorts: ReadonlySet<number>): ReadonlyMap<number, number> {
  const ports = new Map<number, number>();
  for (const [key, value] of field.entries()) {
    const port = parsePort(key);
    if (port === null) value.problem("its key is not a port");
    else if (!servicePorts.has(port)) value.warning("the Service has no such port, ignored");
    else ports.set(port, value.port());
  }
  return ports;
}

/** The ready endpoints that have the port; without any, those that still serve while they terminate. */
export function backendsOf(endpoints: readonly ServiceEndpoint[], port: number): Backends {
  const having = endpoints.filter((endpoint) => endpoint.ports.has(port));
  const ready = having.filter((endpoint) => endpoint.ready);
  const chosen = ready.length > 0 ? ready : having.filter((endpoint) => endpoint.serving && endpoint.terminating);
  const backends = chosen.map((endpoint) => ({ ip: endpoint.ip, port: endpoint.ports.get(port)! }));
  const ofFamily = (wantsIpv6: boolean): readonly Endpoint[] => {
    const own = backends.filter(({ ip }) => isIpv6(ip) === wantsIpv6);
    return own.length > 0 ? own : backends;
  };
  return { ipv4: ofFamily(false), ipv6: ofFamily(true) };
}
