/**
 * What may be trusted, from the namespaces that are projects and the Secrets of their CAs: a CA counts only for the
 * namespace whose uid it was made for, a peer only with the uid that its namespace really has. Pure.
 */
import type { Namespace, Secret } from "../../lib/kube/objects.ts";
import { readProjectSettings } from "../../lib/project/settings.ts";
import { checkCertificate } from "./authority.ts";
import type { SigningAuthority } from "./authority.ts";
import type { Knowledge, KnownProject } from "./store.ts";

export type Objects = { readonly namespaces: readonly Namespace[]; readonly secrets: readonly Secret[] };
export type KnowledgeSurroundings = {
  readonly root: SigningAuthority;
  readonly trustDomain: string;
  readonly now: number;
};

export const projectSecret = (project: string): string => `tencrypt-project.${project}`;

const text = ({ data }: Secret, key: string): string => Buffer.from(data?.[key] ?? "", "base64").toString();

export function knowledgeOf(
  { namespaces, secrets }: Objects,
  surroundings: KnowledgeSurroundings,
): { readonly knowledge: Knowledge; readonly problems: readonly string[] } {
  const byName = new Map(secrets.map((secret) => [secret.metadata.name, secret]));
  const uids = new Map(namespaces.map(({ metadata }) => [metadata.name, metadata.uid]));
  const projects = new Map<string, KnownProject>();
  const problems: string[] = [];
  for (const namespace of namespaces.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
    const secret = byName.get(projectSecret(namespace.metadata.name));
    // Made for the namespace's first pod; until then nobody needs it.
    if (secret === undefined || text(secret, "uid") !== namespace.metadata.uid) continue;
    const known = knownProject(namespace, secret, { surroundings, uids });
    if (typeof known === "string") problems.push(known);
    else projects.set(known.name, known);
  }
  return { knowledge: { roots: [surroundings.root.certificate.der], projects }, problems };
}

type Context = { readonly surroundings: KnowledgeSurroundings; readonly uids: ReadonlyMap<string, string> };

function knownProject({ metadata }: Namespace, secret: Secret, { surroundings, uids }: Context): KnownProject | string {
  const { root, trustDomain, now } = surroundings;
  const checked = checkCertificate(text(secret, "tls.crt"), {
    purpose: { kind: "project", trustDomain, project: metadata.name },
    root: root.certificate,
    now,
  });
  if (checked.kind === "problem") return `tls.crt of Secret ${secret.metadata.name} ${checked.what}`;
  // The mode plays no part here.
  const { settings } = readProjectSettings(metadata, "strict");
  return {
    name: metadata.name,
    uid: metadata.uid,
    authorities: [checked.certificate.der],
    authoritiesEnd: checked.certificate.notAfter,
    peers: new Set(
      settings.peers.filter(({ name, uid }) => uid !== null && uids.get(name) === uid).map(({ name }) => name),
    ),
    denied: text(secret, "denied")
      .split(/[\s,]+/)
      .filter((uid) => uid !== "")
      .toSorted(),
  };
}
