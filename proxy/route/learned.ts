/** Holders of addresses that the state does not name and that were asked for one by one. Pure. */
import type { Ip } from "../../lib/net/address.ts";
import type { Holder, Snapshot, Workload } from "./snapshot.ts";

export type Learned =
  | { readonly kind: "pods"; readonly workloads: readonly [Workload, ...Workload[]] }
  /** `project/name` of a Service whose project is not told in full. */
  | { readonly kind: "service"; readonly fullName: string }
  | { readonly kind: "node" };

/** What the state names counts before what was learned. */
export function withLearned(snapshot: Snapshot, learned: ReadonlyMap<Ip, Learned>): Snapshot {
  if (learned.size === 0) return snapshot;
  const holders = new Map<Ip, Holder>();
  const foreignVips = new Map(snapshot.foreignVips);
  const nodeAddresses = new Set(snapshot.nodeAddresses);
  for (const [ip, what] of learned) {
    if (what.kind === "node") nodeAddresses.add(ip);
    else if (what.kind === "service") foreignVips.set(ip, what.fullName);
    else holders.set(ip, holderOf(what.workloads));
  }
  for (const [ip, holder] of snapshot.holders) holders.set(ip, holder);
  return { ...snapshot, holders, foreignVips, nodeAddresses };
}

const holderOf = (workloads: readonly [Workload, ...Workload[]]): Holder =>
  workloads.length === 1 ? { kind: "pod", workload: workloads[0] } : { kind: "conflict", workloads };
