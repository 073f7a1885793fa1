/** Why a pod of the probe will not do its work. Pure. */
import type { Pod } from "../../lib/kube/objects.ts";
import type { ContainerStatus } from "./facts.ts";

export type ProbePod = Pod & {
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly containerStatuses?: readonly (ContainerStatus & {
      readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
    })[];
  };
};

/** These do not get better while somebody waits. */
const hopeless: readonly (string | undefined)[] = [
  "ImagePullBackOff",
  "ErrImageNeverPull",
  "InvalidImageName",
  "CreateContainerConfigError",
  "CreateContainerError",
  "RunContainerError",
];

/** Null while it may still. */
export function startProblem({ status }: ProbePod): string | null {
  const state = status?.containerStatuses?.[0]?.state;
  const { waiting, terminated } = state ?? {};
  if (hopeless.includes(waiting?.reason)) return [waiting?.reason, waiting?.message].filter(Boolean).join(": ");
  if (terminated !== undefined) return `ended with status ${terminated.exitCode}`;
  if (status?.phase !== "Failed") return null;
  return [status.reason ?? "failed", status.message].filter(Boolean).join(": ");
}

/** Null where nothing says so. */
export const waitsFor = ({ status }: ProbePod): string | null =>
  status?.containerStatuses?.[0]?.state?.waiting?.reason ?? null;
