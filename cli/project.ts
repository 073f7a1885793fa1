/** Projects by their names, and their pods. */
import type { KubeClient } from "../lib/kube/client.ts";
import { pages } from "../lib/kube/list.ts";
import { neverProjects, projectLabel } from "../lib/kube/names.ts";
import type { Namespace, Pod } from "../lib/kube/objects.ts";
import { isProject } from "../lib/project/settings.ts";
import { Failure } from "./failure.ts";

/** Of others no webhook sees a pod, whatever label they had before there was a policy that keeps it off them. */
export const canBeProject = ({ metadata }: Namespace): boolean => !neverProjects.includes(metadata.name);

/** For whoever may see that namespace and no other: nothing else is listed. */
export async function projectNamed(client: KubeClient, name: string): Promise<Namespace> {
  const found = await client.find<Namespace>(`/api/v1/namespaces/${encodeURIComponent(name)}`);
  if (found === null) throw new Failure(`there is no namespace ${name}`, "tencrypt status -A lists the projects");
  if (!canBeProject(found))
    throw new Failure(`namespace ${name} cannot be a project`, "tencrypt status -A lists the projects");
  if (isProject(found.metadata)) return found;
  const value = found.metadata.labels?.[projectLabel];
  throw new Failure(
    value === undefined
      ? `namespace ${name} is no project: it lacks the label ${projectLabel}=enabled`
      : `namespace ${name} is no project: its label ${projectLabel} says ${JSON.stringify(value)}`,
    `kubectl label namespace ${name} ${projectLabel}=enabled${value === undefined ? "" : " --overwrite"}`,
  );
}

/** Nothing is kept of all others, of which a large cluster has many. */
export async function podsOf<T extends Pod>(client: KubeClient, projects: readonly Namespace[]): Promise<readonly T[]> {
  const names = new Set(projects.map(({ metadata }) => metadata.name));
  const found: T[] = [];
  for await (const page of pages<T>(client, "/api/v1/pods"))
    found.push(...page.filter(({ metadata }) => names.has(metadata.namespace ?? "")));
  return found;
}
