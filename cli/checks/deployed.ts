/** Of which version a Deployment of the control plane is. Pure. */
import { version as ownVersion } from "../../lib/version.ts";
import { tagOf } from "../workloads.ts";
import type { Deployment } from "./facts.ts";

export const versionLabel = "app.kubernetes.io/version";

export const versionOf = (deployment: Deployment | null): string =>
  tagOf(deployment?.spec.template.spec.containers[0]?.image ?? "") || "unknown";

/** Where images are named by digest, or otherwise tagged, what the chart wrote on it tells. */
export const isOfOwnVersion = (deployment: Deployment | null): boolean =>
  versionOf(deployment) === ownVersion || deployment?.metadata?.labels?.[versionLabel] === ownVersion;
