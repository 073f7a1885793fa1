/**
 * Whether a snapshot may replace the one in use: only a newer one that names this pod. What is refused leaves the old
 * one in force, so a wrong or stale document can never loosen what holds. Pure.
 */
import type { Reason } from "../../lib/errors/reasons.ts";
import { ownAt } from "./policy.ts";
import type { Self } from "./policy.ts";
import type { Snapshot } from "./snapshot.ts";

export type Acceptance =
  | { readonly kind: "accepted" }
  | { readonly kind: "refused"; readonly reason: Reason; readonly detail: string };

/** A snapshot of the version in use is refused too: two contents under one version mean two writers that disagree. */
export function accept(candidate: Snapshot, current: Snapshot | null, self: Self): Acceptance {
  if (!candidate.projects.has(self.project)) return refused("directory_lacks_own_project", self.project);
  const missing = [...self.ips].find((ip) => ownAt(candidate, ip, self) === undefined);
  if (missing !== undefined) return refused("directory_lacks_own_address", missing);
  if (current !== null && candidate.version <= current.version) {
    return refused("directory_not_newer", `version ${candidate.version} after ${current.version}`);
  }
  return { kind: "accepted" };
}

const refused = (reason: Reason, detail: string): Acceptance => ({ kind: "refused", reason, detail });
