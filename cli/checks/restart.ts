/** How pods are made again: by a command where there is one, else by whoever made them. Pure. */

/** kubectl restarts these. */
const restartable = /^(?:Deployment|StatefulSet|DaemonSet)\//;
const mostNamed = 5;

/** `workloads` as `KIND/NAME`, each as often as it has pods. */
export function restartOf(project: string, workloads: readonly string[]): readonly string[] {
  const all = [...new Set(workloads)];
  const restarted = all.filter((workload) => restartable.test(workload));
  const others = all.filter((workload) => !restartable.test(workload));
  const named = (list: readonly string[]): readonly string[] => list.slice(0, mostNamed);
  const left = [restarted, others].reduce((sum, list) => sum + Math.max(0, list.length - mostNamed), 0);
  return [
    ...(restarted.length === 0 ? [] : [`kubectl -n ${project} rollout restart ${named(restarted).join(" ")}`]),
    ...(others.length === 0 ? [] : [`make again: ${named(others).join(", ")}`]),
    ...(left === 0 ? [] : [`and ${left} more, which tencrypt status ${project} names`]),
  ];
}
