/**
 * What may be trusted, from the namespaces that are projects and the Secrets of their CAs: a CA counts only for the
 * namespace whose uid it was made for, a peer only with the uid that its namespace really has. Pure.
 */
import type { Namespace, Secret } from "../../lib/kube/objects.ts";
import { readProjectSettings } from "../../lib/project/settings.ts";
import type { Authority } from "../../lib/x509/authority.ts";
import { checkCertificate } from "./authority.ts";
import type { CheckedCertificate, SigningAuthority } from "./authority.ts";
import type { Knowledge, KnownProject } from "./store.ts";

export type Objects = { readonly namespaces: readonly Namespace[]; readonly secrets: readonly Secret[] };
export type KnowledgeSurroundings = {
  readonly root: SigningAuthority;
  readonly trustDomain: string;
  readonly now: number;
  /** Of the look before, under the same root. */
  readonly held: HeldCertificates;
};

/** By project, what was read and what it says: a signature takes a moment, and there are thousands at each look. */
export type HeldCertificates = ReadonlyMap<string, { readonly text: string; readonly certificate: Authority }>;

export type Look = {
  readonly knowledge: Knowledge;
  readonly problems: readonly string[];
  readonly held: HeldCertificates;
};

export const projectSecret = (project: string): string => `tencrypt-project.${project}`;

const text = ({ data }: Secret, key: string): string => Buffer.from(data?.[key] ?? "", "base64").toString();

export function knowledgeOf({ namespaces, secrets }: Objects, surroundings: KnowledgeSurroundings): Look {
  const byName = new Map(secrets.map((secret) => [secret.metadata.name, secret]));
  const uids = new Map(namespaces.map(({ metadata }) => [metadata.name, metadata.uid]));
  const projects = new Map<string, KnownProject>();
  const problems: string[] = [];
  const held = new Map<string, { readonly text: string; readonly certificate: Authority }>();
  for (const namespace of namespaces.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
    const secret = byName.get(projectSecret(namespace.metadata.name));
    // Made for the namespace's first pod; until then nobody needs it.
    if (secret === undefined || text(secret, "uid") !== namespace.metadata.uid) continue;
    const { name } = namespace.metadata;
    const pem = text(secret, "tls.crt");
    const checked = checkOnce(name, pem, surroundings);
    if (checked.kind === "problem") {
      problems.push(`tls.crt of Secret ${secret.metadata.name} ${checked.what}`);
      continue;
    }
    held.set(name, { text: pem, certificate: checked.certificate });
    projects.set(name, knownProject(namespace, secret, { certificate: checked.certificate, uids }));
  }
  return { knowledge: { roots: [surroundings.root.certificate.der], projects }, problems, held };
}

function checkOnce(
  project: string,
  pem: string,
  { root, trustDomain, now, held }: KnowledgeSurroundings,
): CheckedCertificate {
  const before = held.get(project);
  if (before?.text === pem && now < before.certificate.notAfter)
    return { kind: "checked", certificate: before.certificate };
  return checkCertificate(pem, { purpose: { kind: "project", trustDomain, project }, root: root.certificate, now });
}

type Context = { readonly certificate: Authority; readonly uids: ReadonlyMap<string, string> };

function knownProject({ metadata }: Namespace, secret: Secret, { certificate, uids }: Context): KnownProject {
  // The mode plays no part here.
  const { settings } = readProjectSettings(metadata, "strict");
  return {
    name: metadata.name,
    uid: metadata.uid,
    authorities: [certificate.der],
    authoritiesEnd: certificate.notAfter,
    peers: new Set(
      settings.peers.filter(({ name, uid }) => uid !== null && uids.get(name) === uid).map(({ name }) => name),
    ),
    denied: text(secret, "denied")
      .split(/[\s,]+/)
      .filter((uid) => uid !== "")
      .toSorted(),
  };
}
