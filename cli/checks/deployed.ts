/** Of which version a Deployment of the control plane is, and what it was told. Pure. */
import { version as ownVersion } from "../../lib/version.ts";
import { tagOf } from "../workloads.ts";
import type { DeployedContainer, Deployment } from "./facts.ts";

export const versionLabel = "app.kubernetes.io/version";

const isVersion = (tag: string): boolean => /^[0-9]+\.[0-9]+\.[0-9]+$/.test(tag);

/** By the tag of its image; where images are named by digest, or tagged otherwise, by what the chart wrote on it. */
export function versionOf(deployment: Deployment | null): string {
  const tag = tagOf(deployment?.spec.template.spec.containers[0]?.image ?? "");
  return isVersion(tag) ? tag : (deployment?.metadata?.labels?.[versionLabel] ?? (tag || "unknown"));
}

type Variables = NonNullable<DeployedContainer["env"]>;

export const variablesOf = (deployment: Deployment | null): Variables =>
  deployment?.spec.template.spec.containers.flatMap(({ env = [] }) => env) ?? [];

export const settingOf = (deployment: Deployment | null, setting: string): string | undefined =>
  variablesOf(deployment).find(({ name }) => name === setting)?.value;

/** Where images are named by digest, or otherwise tagged, what the chart wrote on it tells. */
export const isOfOwnVersion = (deployment: Deployment | null): boolean =>
  versionOf(deployment) === ownVersion || deployment?.metadata?.labels?.[versionLabel] === ownVersion;
