/** What is good and what is not in one project. Pure. */
import { whoMayUndoRules } from "../../lib/inject/report.ts";
import { projectLabel } from "../../lib/kube/names.ts";
import type { Namespace } from "../../lib/kube/objects.ts";
import { isTerminal } from "../../lib/kube/sidecar.ts";
import { idleMarks, labelWithoutEffect, looserMarks, podProblems } from "../../lib/project/marks.ts";
import { readProjectSettings } from "../../lib/project/settings.ts";
import { canBeProject } from "../project.ts";
import { podRows } from "../workloads.ts";
import type { PodRow } from "../workloads.ts";
import type { PodFact } from "./facts.ts";
import { finding } from "./finding.ts";
import type { Judged } from "./finding.ts";
import type { Readable } from "./readable.ts";
import { restartOf } from "./restart.ts";
import { judgePins } from "./root.ts";
import { judgeRunning } from "./running.ts";

/** `now` by the API server's clock. */
export type Comparison = { readonly rootPem: Readable<string | null>; readonly now: number };

/** Of a namespace that has the project's label, with whatever value. */
export function judgeProject(
  namespace: Namespace,
  allPods: readonly PodFact[],
  { rootPem, now }: Comparison,
): readonly Judged[] {
  if (!canBeProject(namespace)) return [neverProject(namespace)];
  const label = labelWithoutEffect(namespace.metadata);
  if (label !== null) return [noProject(namespace, label)];
  const { name } = namespace.metadata;
  // Nobody has to mend a pod that is about to end, or to make it again.
  const pods = allPods.filter(
    (pod) => pod.metadata.namespace === name && !isTerminal(pod) && pod.metadata.deletionTimestamp === undefined,
  );
  return [
    protection(namespace, pods),
    annotations(namespace, pods),
    ...judgeRunning(name, pods, now),
    ...judgePins(name, rootPem, pods),
    idle(namespace, pods),
    podSecurity(namespace),
    privileges(namespace, pods),
  ];
}

const neverProject = ({ metadata: { name } }: Namespace): Judged => ({
  ...finding("TC-PRJ-05", "failed", `no project, and never one: ${name} must not have the label ${projectLabel}`),
  next: `kubectl label namespace ${name} ${projectLabel}-`,
});

const noProject = ({ metadata: { name } }: Namespace, label: string): Judged => ({
  ...finding("TC-PRJ-05", "failed", `no project: its label ${projectLabel} says ${JSON.stringify(label)}`),
  next: `kubectl label namespace ${name} ${projectLabel}=enabled --overwrite, or ${projectLabel}-`,
});

function protection(namespace: Namespace, pods: readonly PodFact[]): Judged {
  const { name, deletionTimestamp } = namespace.metadata;
  if (deletionTimestamp !== undefined)
    return finding("TC-PRJ-01", "good", "the namespace is being deleted, and its pods with it");
  const rows = podRows([namespace], pods);
  const bare = rows.filter((row) => !row.protected && !row.exempt);
  if (bare.length > 0) {
    const text = `${bare.length} of ${rows.length} pods should be protected and are not`;
    const details = bare.map((row) => `${row.namespace}/${row.pod} (${row.workload}): ${row.why}`);
    return { ...finding("TC-PRJ-01", "failed", text, details), next: howToProtect(name, bare) };
  }
  const exempt = Object.entries(
    Object.groupBy(
      rows.filter((row) => row.exempt),
      ({ why }) => why,
    ),
  ).map(([why, some = []]) => `${some.length} ${why}`);
  const others = exempt.length === 0 ? "" : `; not meant to be: ${exempt.join(", ")}`;
  return finding("TC-PRJ-01", "good", `${rows.filter((row) => row.protected).length} pods protected${others}`);
}

function howToProtect(project: string, bare: readonly PodRow[]): string {
  const codes = new Set(bare.map(({ why }) => why.split(":")[0]!));
  // A kubelet makes a static pod from a file, and is asked by nobody to do so.
  const others = bare.filter(({ why }) => why !== "mirror_pod");
  const restart = restartOf(
    project,
    others.map(({ workload }) => workload),
  );
  return [...restart, ...[...codes].toSorted().map((code) => `tencrypt explain ${code}`)].join("; ");
}

function annotations(namespace: Namespace, pods: readonly PodFact[]): Judged {
  const problems = [
    ...readProjectSettings(namespace.metadata, "project").problems.map((problem) => `namespace: ${problem}`),
    ...pods.flatMap(({ metadata }) => podProblems(metadata).map((problem) => `${metadata.name}: ${problem}`)),
  ];
  return problems.length === 0
    ? finding("TC-PRJ-02", "good", "annotations can be read")
    : finding("TC-PRJ-02", "failed", `${problems.length} annotations cannot be read`, problems);
}

function idle(namespace: Namespace, pods: readonly PodFact[]): Judged {
  // Only the controller knows the mode of a namespace that names none: the loosest, so that nothing is told which is not so.
  const { settings } = readProjectSettings(namespace.metadata, "permissive");
  const found = [
    ...idleMarks("namespace", namespace.metadata).map((each) => `namespace: ${each}`),
    ...pods.flatMap(({ metadata }) =>
      [...idleMarks("pod", metadata), ...looserMarks(metadata, settings)].map((each) => `${metadata.name}: ${each}`),
    ),
  ];
  return found.length === 0
    ? finding("TC-PRJ-06", "good", "no label or annotation is without effect")
    : finding("TC-PRJ-06", "failed", `${found.length} labels and annotations have no effect`, found);
}

const enforced = "pod-security.kubernetes.io/enforce";

/** tencrypt-init needs NET_ADMIN and is root: of the standards only `privileged` lets it be. */
function podSecurity({ metadata }: Namespace): Judged {
  const level = metadata.labels?.[enforced];
  if (level === undefined || level === "privileged")
    return finding("TC-PRJ-07", "good", "Pod Security lets injected pods be");
  // Where a pod is injected only if it asks for it, others may well be held to a standard.
  const isEvery = readProjectSettings(metadata, "project").settings.defaultInjection;
  return {
    ...finding(
      "TC-PRJ-07",
      isEvery ? "failed" : "warning",
      `Pod Security refuses injected pods: ${enforced} says ${level}`,
    ),
    next: `kubectl label namespace ${metadata.name} ${enforced}=privileged --overwrite`,
  };
}

/** Such a pod is refused where it is made; one that was there before its project became strict still runs. */
function privileges(namespace: Namespace, pods: readonly PodFact[]): Judged {
  const rows = new Map(podRows([namespace], pods).map((row) => [row.pod, row]));
  const found = pods.flatMap((pod) => {
    const row = rows.get(pod.metadata.name);
    const container = row?.modeAtLeast === "strict" ? whoMayUndoRules(pod) : null;
    return row === undefined || container === null ? [] : [{ row, container }];
  });
  const [first] = found;
  if (first === undefined) return finding("TC-PRJ-09", "good", "no strict pod may undo its rules");
  const details = found.map(({ row, container }) => `${row.pod} (${row.workload}): container ${container}`);
  return finding("TC-PRJ-09", "failed", `${found.length} strict pods may undo their rules`, details);
}
