/** What is good and what is not in one project. Pure. */
import { containers } from "../../lib/kube/names.ts";
import type { Namespace } from "../../lib/kube/objects.ts";
import { isTerminal, readSidecar } from "../../lib/kube/sidecar.ts";
import { readPodSettings, readProjectSettings } from "../../lib/project/settings.ts";
import { podRows } from "../workloads.ts";
import type { PodRow } from "../workloads.ts";
import type { PodFact } from "./facts.ts";
import { finding } from "./finding.ts";
import type { Judged } from "./finding.ts";
import { judgePins } from "./root.ts";

export function judgeProject(
  namespace: Namespace,
  allPods: readonly PodFact[],
  rootPem: string | null,
): readonly Judged[] {
  const pods = allPods.filter((pod) => pod.metadata.namespace === namespace.metadata.name && !isTerminal(pod));
  return [
    protection(podRows([namespace], pods)),
    annotations(namespace, pods),
    rules(pods),
    ...judgePins(rootPem, pods),
  ];
}

function protection(rows: readonly PodRow[]): Judged {
  const bare = rows.filter((row) => !row.protected && !row.exempt);
  if (bare.length > 0)
    return finding(
      "TC-PRJ-01",
      "failed",
      `${bare.length} of ${rows.length} pods should be protected and are not`,
      bare.map((row) => `${row.namespace}/${row.pod} (${row.workload}): ${row.why}`),
    );
  const exempt = Object.entries(
    Object.groupBy(
      rows.filter((row) => row.exempt),
      ({ why }) => why,
    ),
  ).map(([why, some = []]) => `${some.length} ${why}`);
  const others = exempt.length === 0 ? "" : `; not meant to be: ${exempt.join(", ")}`;
  return finding("TC-PRJ-01", "good", `${rows.filter((row) => row.protected).length} pods protected${others}`);
}

function annotations(namespace: Namespace, pods: readonly PodFact[]): Judged {
  const problems = [
    ...readProjectSettings(namespace.metadata, "project").problems.map((problem) => `namespace: ${problem}`),
    ...pods.flatMap(({ metadata }) =>
      readPodSettings(metadata).problems.map((problem) => `${metadata.name}: ${problem}`),
    ),
  ];
  return problems.length === 0
    ? finding("TC-PRJ-02", "good", "annotations can be read")
    : finding("TC-PRJ-02", "failed", `${problems.length} annotations cannot be read`, problems);
}

function rules(pods: readonly PodFact[]): Judged {
  const broken = pods.filter((pod) => readSidecar(pod).kind === "sidecar" && initFailed(pod));
  return broken.length === 0
    ? finding("TC-PRJ-03", "good", "rules set and proven")
    : finding(
        "TC-PRJ-03",
        "failed",
        `${broken.length} pods have no rules`,
        broken.map(({ metadata }) => metadata.name),
      );
}

function initFailed({ status }: PodFact): boolean {
  const state = status?.initContainerStatuses?.find(({ name }) => name === containers.init)?.state;
  return (state?.terminated?.exitCode ?? 0) !== 0 || state?.waiting?.reason === "CrashLoopBackOff";
}
