/** `uninstall`: says before everything else goes whose certificates end with it. It refuses nothing. */
import { namedCounts, totalOf } from "../lib/kube/protected-pods.ts";

const plural = (amount: number, noun: string): string => `${amount} ${noun}${amount === 1 ? "" : "s"}`;

/** One line: Helm logs what the pod wrote as one text, with its line ends escaped. */
export function farewell(counts: ReadonlyMap<string, number>): string {
  if (counts.size === 0) return "No pod has a proxy of Tencrypt: nothing loses its connections.\n";
  const [example] = [...counts.keys()].toSorted();
  return (
    `WARNING: ${plural(totalOf(counts), "running pod")} in ${plural(counts.size, "project")} still had a proxy of Tencrypt ` +
    `(${namedCounts(counts)}). Their certificates are not renewed any more; when they end, these pods refuse ` +
    `all connections. To take a proxy out: kubectl label namespace ${example} tencrypt.io/project- && ` +
    `kubectl -n ${example} rollout restart deployment,statefulset,daemonset\n`
  );
}
