/** Of which version a Deployment of the control plane is, and what it was told. Pure. */
import { version as ownVersion } from "../../lib/version.ts";
import { tagOf } from "../workloads.ts";
import type { DeployedContainer, Deployment } from "./facts.ts";

export const versionLabel = "app.kubernetes.io/version";

export const versionOf = (deployment: Deployment | null): string =>
  tagOf(deployment?.spec.template.spec.containers[0]?.image ?? "") || "unknown";

type Variables = NonNullable<DeployedContainer["env"]>;

export const variablesOf = (deployment: Deployment | null): Variables =>
  deployment?.spec.template.spec.containers.flatMap(({ env = [] }) => env) ?? [];

export const settingOf = (deployment: Deployment | null, setting: string): string | undefined =>
  variablesOf(deployment).find(({ name }) => name === setting)?.value;

/** Where images are named by digest, or otherwise tagged, what the chart wrote on it tells. */
export const isOfOwnVersion = (deployment: Deployment | null): boolean =>
  versionOf(deployment) === ownVersion || deployment?.metadata?.labels?.[versionLabel] === ownVersion;
