/** How many running pods have a proxy, wherever they are: also where the label of their project was taken off. */
import type { KubeClient } from "./client.ts";
import { pages } from "./list.ts";
import type { Pod } from "./objects.ts";
import { isTerminal, readSidecar } from "./sidecar.ts";

const hasProxy = (pod: Pod): boolean => !isTerminal(pod) && readSidecar(pod).kind === "sidecar";

/** Of pods, some 10 KB each: a page of more makes the heap grow towards a Job's limit before it is collected. */
const pageSize = 200;

/** Of namespaces in a text; a cluster may have thousands. */
const mostNamed = 20;

/** By namespace. */
export async function countProtected(client: Pick<KubeClient, "get">): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for await (const page of pages<Pod>(client, "/api/v1/pods", { pageSize }))
    for (const { metadata } of page.filter(hasProxy)) {
      const namespace = metadata.namespace ?? "";
      counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
    }
  return counts;
}

/** `shop 3, web 1`, by name. */
export function namedCounts(counts: ReadonlyMap<string, number>): string {
  const all = [...counts]
    .toSorted(([one], [other]) => one.localeCompare(other))
    .map(([namespace, count]) => `${namespace} ${count}`);
  return [...all.slice(0, mostNamed), ...(all.length > mostNamed ? [`${all.length - mostNamed} more`] : [])].join(", ");
}

export const totalOf = (counts: ReadonlyMap<string, number>): number =>
  counts.values().reduce((sum, count) => sum + count, 0);
