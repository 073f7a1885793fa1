/** `uninstall`: says before everything else goes whose certificates end with it. It refuses nothing. */

/** Of projects in the text; a cluster may have thousands. */
const mostNamed = 20;

const plural = (amount: number, noun: string): string => `${amount} ${noun}${amount === 1 ? "" : "s"}`;

/** One line: Helm logs what the pod wrote as one text, with its line ends escaped. */
export function farewell(counts: ReadonlyMap<string, number>): string {
  if (counts.size === 0) return "No pod has a proxy of Tencrypt: nothing loses its connections.\n";
  const projects = [...counts].toSorted(([one], [other]) => one.localeCompare(other));
  const total = projects.reduce((sum, [, count]) => sum + count, 0);
  const named = projects.slice(0, mostNamed).map(([name, count]) => `${name} ${count}`);
  const rest = projects.length > mostNamed ? [`${projects.length - mostNamed} more`] : [];
  const example = projects[0]![0];
  return (
    `WARNING: ${plural(total, "running pod")} in ${plural(projects.length, "project")} still had a proxy of Tencrypt ` +
    `(${[...named, ...rest].join(", ")}). Their certificates are not renewed any more; when they end, these pods refuse ` +
    `all connections. To take a proxy out: kubectl label namespace ${example} tencrypt.io/project- && ` +
    `kubectl -n ${example} rollout restart deployment,statefulset,daemonset\n`
  );
}
