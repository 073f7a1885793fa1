/** What an address is to this pod (design par. 4): decided by the address alone, never by DNS. Pure. */
import { isLoopback } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import { anyContains } from "../../lib/net/cidr.ts";
import type { PeerClass } from "../observe/events.ts";
import type { View } from "./policy.ts";
import { podNames, podsAt } from "./snapshot.ts";
import type { Workload } from "./snapshot.ts";

export type AddressKind = "self" | "conflict" | "internal" | "other-project" | "node" | "unknown" | "external";

/** Service addresses are no answer here: an endpoint is classed by its own address. Ranges are searched last. */
export function classify(view: View, ip: Ip): AddressKind {
  if (view.self.ips.has(ip) || isThisHost(ip)) return "self";
  const holder = view.snapshot.holders.get(ip);
  if (holder !== undefined) {
    if (holder.kind === "conflict") return "conflict";
    return view.policy.internalProjects.has(holder.workload.project) ? "internal" : "other-project";
  }
  if (view.snapshot.nodeAddresses.has(ip)) return "node";
  if (view.snapshot.foreignVips.has(ip)) return "other-project";
  const { clusterRanges, lookUpRanges } = view.snapshot;
  return anyContains(clusterRanges, ip) || anyContains(lookUpRanges, ip) ? "unknown" : "external";
}

/** Whether an address that nobody holds is outside: it is, unless it lies in the cluster's own ranges. */
export const isOutsideUnheld = (view: View, ip: Ip): boolean => !anyContains(view.snapshot.clusterRanges, ip);

/** Loopback, and the unspecified address, which the kernel takes for it. */
const isThisHost = (ip: Ip): boolean => isLoopback(ip) || ip === "0.0.0.0" || ip === "::";

/** The pod that holds the address, where exactly one does. */
export function workloadAt(view: View, ip: Ip): Workload | null {
  const holder = view.snapshot.holders.get(ip);
  return holder?.kind === "pod" ? holder.workload : null;
}

/** The class as it is reported: an address that two pods claim is internal as soon as one of them is. */
export function peerClass(view: View, kind: AddressKind, ip: Ip): PeerClass {
  if (kind !== "conflict") return kind;
  const isInternal = podsAt(view.snapshot, ip).some(({ project }) => view.policy.internalProjects.has(project));
  return isInternal ? "internal" : "other-project";
}

/** For the log: who claims the address. */
export const claimantsOf = (view: View, ip: Ip): string => podNames(podsAt(view.snapshot, ip));
