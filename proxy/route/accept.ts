/**
 * Whether a snapshot may replace the one in use: only a newer one that names this pod. What is refused leaves the old
 * one in force, so a wrong or stale document can never loosen what holds. Pure.
 */
import type { Reason } from "../../lib/errors/reasons.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { Self } from "./policy.ts";
import type { Snapshot } from "./snapshot.ts";

export type Acceptance =
  | { readonly kind: "accepted" }
  | { readonly kind: "refused"; readonly reason: Reason; readonly detail: string };

/** A snapshot of the version in use is refused too: two contents under one version mean two writers that disagree. */
export function accept(candidate: Snapshot, current: Snapshot | null, self: Self): Acceptance {
  if (!candidate.projects.has(self.project)) return refused("directory_lacks_own_project", self.project);
  const missing = [...self.ips].find((ip) => !namesOwnPod(candidate, ip, self));
  if (missing !== undefined) return refused("directory_lacks_own_address", missing);
  if (current !== null && candidate.version <= current.version) {
    return refused("directory_not_newer", `version ${candidate.version} after ${current.version}`);
  }
  return { kind: "accepted" };
}

/** Another pod that claims our address does not make the document wrong about us. */
function namesOwnPod(snapshot: Snapshot, ip: Ip, self: Self): boolean {
  const holder = snapshot.holders.get(ip);
  if (holder === undefined) return false;
  const workloads = holder.kind === "pod" ? [holder.workload] : holder.workloads;
  return workloads.some((workload) => workload.uid === self.podUid && workload.project === self.project);
}

const refused = (reason: Reason, detail: string): Acceptance => ({ kind: "refused", reason, detail });
