/** What all proxies have to know of the cluster: its ranges, and the addresses of its nodes. Pure. */
import type { Node, ServiceCidr } from "../../lib/kube/objects.ts";
import { most } from "../../lib/directory/bounds.ts";
import { anyContains, merged, parseCidr } from "../../lib/net/cidr.ts";
import type { Ip } from "../../lib/net/address.ts";
import { readIp } from "./entities.ts";

export type ClusterAddresses = {
  readonly requires: readonly string[];
  readonly clusterRanges: readonly string[];
  readonly lookUpRanges: readonly string[];
  readonly nodeAddresses: readonly string[];
};

/**
 * Where pods are when a network plugin does not write its ranges on the nodes: RFC 1918, RFC 6598, RFC 4193. A database
 * may be there too; who holds an address is asked before it is believed to be outside.
 */
const privateRanges = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

const tellsItsRange = ({ spec }: Node): boolean => (spec?.podCIDR ?? spec?.podCIDRs?.[0] ?? "") !== "";

/** Each node has a range, and most have one beside it. */
const joined = (texts: readonly string[]): readonly string[] =>
  merged(texts.map(parseCidr).filter((cidr) => cidr !== null)).map(({ text }) => text);

/**
 * `configured` takes the place of what nodes and Service ranges say. Where that is more than a proxy reads, the rest is looked
 * up as if no node told it.
 */
export function clusterAddresses(
  nodes: readonly Node[],
  serviceCidrs: readonly ServiceCidr[],
  configured: readonly string[],
): ClusterAddresses {
  const addresses = nodes
    .flatMap(({ status }) => status?.addresses ?? [])
    .map(({ type, address }) => (type === "InternalIP" || type === "ExternalIP" ? readIp(address) : null))
    .filter((ip) => ip !== null);
  const told = [
    ...nodes.flatMap(({ spec }) => [...(spec?.podCIDRs ?? []), spec?.podCIDR ?? ""]),
    ...serviceCidrs.flatMap(({ spec }) => spec?.cidrs ?? []),
  ];
  const ranges = configured.length > 0 ? configured : joined(told);
  const areAll = ranges.length <= most.ranges && nodes.length > 0 && nodes.every(tellsItsRange);
  return {
    requires: [],
    clusterRanges: [...new Set(ranges)].toSorted().slice(0, most.ranges),
    lookUpRanges: configured.length > 0 || areAll ? [] : privateRanges,
    nodeAddresses: [...new Set(addresses)].toSorted(),
  };
}

/** Which addresses a Service may claim for its project: nothing of the cluster's own. */
export function claimable({ clusterRanges, nodeAddresses }: ClusterAddresses): (ip: string) => boolean {
  const ofNodes = new Set(nodeAddresses);
  const ranges = clusterRanges.map((text) => parseCidr(text)).filter((cidr) => cidr !== null);
  return (ip) => !ofNodes.has(ip) && !anyContains(ranges, ip as Ip);
}
