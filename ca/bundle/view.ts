/** What a caller of a project may see of the knowledge: its own project and its mutual peers, nothing of others. Pure. */
import type { Bundle } from "../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import type { Knowledge, KnownProject, Published } from "../store/store.ts";

/** A peer counts only where both name each other. */
function visibleTo(project: string, knowledge: Knowledge): readonly KnownProject[] {
  const own = knowledge.projects.get(project);
  if (own === undefined) return [];
  const peers = [...own.peers].map((name) => knowledge.projects.get(name)).filter((peer) => peer !== undefined);
  return [own, ...peers.filter((peer) => peer.name !== project && peer.peers.has(project))];
}

/** `project` null: for the controller, which has to know every project's callers. */
export function bundleFor(project: string | null, { version, knowledge }: Published): Bundle {
  const visible = project === null ? [...knowledge.projects.values()] : visibleTo(project, knowledge);
  return {
    version,
    roots: knowledge.roots.map((der) => Buffer.from(der)),
    projects: visible.map(({ name, uid, authorities }) => ({
      name,
      namespaceUid: uid,
      authorities: authorities.map((der) => Buffer.from(der)),
    })),
    denied: visible.flatMap(({ denied }) => denied),
  };
}

export const isDenied = (project: string, podUid: string, knowledge: Knowledge): boolean =>
  knowledge.projects.get(project)?.denied.includes(podUid) ?? false;
