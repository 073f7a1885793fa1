/**
 * The lists of a document to the maps of a snapshot. Whatever is claimed twice is found here: projects, pods, Service
 * addresses and node ports refuse the document; an address of two live pods becomes a conflict. Pure.
 */
import type { Cidr } from "../../lib/net/cidr.ts";
import { formatEndpoint, isIpv6 } from "../../lib/net/address.ts";
import type { Endpoint, Ip } from "../../lib/net/address.ts";
import type { Findings } from "./fields.ts";
import { podNames } from "./snapshot.ts";
import type { Holder, NodePort, Project, Service, Snapshot, Workload } from "./snapshot.ts";

/** A value and where it stood. */
export type Placed<T> = { readonly field: { problem(text: string): void }; readonly value: T };

export type Document = {
  readonly version: number;
  readonly clusterRanges: readonly Cidr[];
  readonly lookUpRanges: readonly Cidr[];
  readonly nodeAddresses: readonly Ip[];
  readonly projects: readonly Placed<Project>[];
  readonly workloads: readonly Placed<Workload>[];
  readonly services: readonly Placed<Service>[];
};

export function buildSnapshot(document: Document, findings: Findings): Snapshot {
  const holders = holdersOf(document.workloads, findings);
  return {
    version: document.version,
    clusterRanges: document.clusterRanges,
    lookUpRanges: document.lookUpRanges,
    nodeAddresses: new Set(document.nodeAddresses),
    projects: projectsOf(document.projects),
    holders,
    vips: vipsOf(document.services, holders),
    foreignVips: new Map(),
    nodePorts: nodePortsOf(document.services),
    hostPorts: hostPortsOf(document.workloads),
  };
}

function projectsOf(projects: Document["projects"]): ReadonlyMap<string, Project> {
  const byName = new Map<string, Project>();
  for (const { field, value } of projects) {
    if (byName.has(value.name)) field.problem(`project ${value.name} is there twice`);
    byName.set(value.name, value);
  }
  return byName;
}

function holdersOf(workloads: Document["workloads"], findings: Findings): ReadonlyMap<Ip, Holder> {
  const uids = new Set<string>();
  const holders = new Map<Ip, Holder>();
  /** Of the addresses that more than one pod claims. */
  const claims = new Map<Ip, Workload[]>();
  for (const { field, value } of workloads) {
    if (uids.has(value.uid)) field.problem(`pod uid ${value.uid} is there twice`);
    uids.add(value.uid);
    for (const ip of new Set(value.ips)) {
      const [holder, claimants] = [holders.get(ip), claims.get(ip)];
      if (claimants !== undefined) claimants.push(value);
      else if (holder?.kind === "pod") claims.set(ip, [holder.workload, value]);
      else holders.set(ip, { kind: "pod", workload: value });
    }
  }
  for (const [ip, claimants] of claims) {
    holders.set(ip, { kind: "conflict", workloads: claimants });
    findings.warning(`address ${ip}`, `claimed by ${podNames(claimants)}`);
  }
  return holders;
}

/** An address of a Service is that Service's alone, and no pod's: else a Service could take a pod's connections. */
function vipsOf(services: Document["services"], holders: ReadonlyMap<Ip, Holder>): ReadonlyMap<Ip, Service> {
  const vips = new Map<Ip, Service>();
  for (const { field, value } of services) {
    for (const ip of new Set(value.vips)) {
      const other = vips.get(ip);
      if (other !== undefined) field.problem(`address ${ip} is already that of Service ${other.fullName}`);
      if (holders.has(ip)) field.problem(`address ${ip} is that of a pod`);
      vips.set(ip, value);
    }
  }
  return vips;
}

/** The kernel leads a host port to the pod's address of the family that was dialled. */
function hostPortsOf(workloads: Document["workloads"]): Snapshot["hostPorts"] {
  const hostPorts = new Map<string, { workload: Workload; endpoint: Endpoint }>();
  for (const { value: workload } of workloads) {
    for (const { at, targetPort: port } of workload.hostPorts) {
      const ip = workload.ips.find((own) => isIpv6(own) === isIpv6(at.ip));
      if (ip !== undefined) hostPorts.set(formatEndpoint(at), { workload, endpoint: { ip, port } });
    }
  }
  return hostPorts;
}

function nodePortsOf(services: Document["services"]): ReadonlyMap<number, NodePort> {
  const nodePorts = new Map<number, NodePort>();
  for (const { field, value } of services) {
    const ports = new Set<number>();
    for (const { port, nodePort } of value.ports) {
      if (ports.has(port)) field.problem(`port ${port} is there twice`);
      ports.add(port);
      if (nodePort === null) continue;
      const other = nodePorts.get(nodePort);
      if (other !== undefined)
        field.problem(`node port ${nodePort} is already that of Service ${other.service.fullName}`);
      nodePorts.set(nodePort, { service: value, port });
    }
  }
  return nodePorts;
}
