/**
 * Which configuration of which version injected a pod, as its annotation says: during an upgrade two replicas that differ in
 * it answer for one pod. Requests and limits take no part, as in the comparison of what was injected with what is found. Pure.
 */
import { createHash } from "node:crypto";
import type { InjectConfig } from "./config.ts";

const notCompared: readonly string[] = ["requests", "limits"] satisfies readonly (keyof InjectConfig)[];

export function markOf(config: InjectConfig): string {
  const settings = Object.entries(config)
    .filter(([name]) => !notCompared.includes(name))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  const digest = createHash("sha256").update(JSON.stringify(settings)).digest("hex");
  return `${config.version}+${digest.slice(0, 12)}`;
}
