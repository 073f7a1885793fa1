/** What somebody can make who has stolen a CA's key from its store: certificates that only our own checks refuse. */
import { X509Certificate, createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { implicit, sequence } from "../pki/der-writer.ts";
import { createPki, oids, withExtension } from "../pki/pki.ts";
import type { Extension, Leaf, LeafOptions, TestAuthority } from "../pki/pki.ts";
import type { Cluster } from "./cluster.ts";
import type { Pod } from "./pod.ts";
import type { Ca } from "./programs.ts";

/** The CA of a project, with its key. The CA makes it when the project's first certificate is asked for. */
export function stolenAuthority(ca: Ca, project: string): TestAuthority {
  const folder = join(ca.store, "projects", project);
  const pem = readFileSync(join(folder, "tls.crt"), "latin1");
  const keyPem = readFileSync(join(folder, "tls.key"), "latin1");
  const der = new X509Certificate(pem).raw;
  const parsed = parseCertificate(der);
  if (parsed.kind === "malformed") throw new Error(`${folder}: ${parsed.what}`);
  const privateKey = createPrivateKey(keyPem);
  const key = { type: "p256", privateKey, publicKey: createPublicKey(privateKey) } as const;
  return { commonName: project, subject: parsed.value.subject, key, der, pem, keyPem };
}

/** AuthorityKeyIdentifier with the very id that the issuer's certificate gives its key: OpenSSL finds no issuer otherwise. */
function namesIssuer(issuer: TestAuthority): Extension {
  const parsed = parseCertificate(issuer.der);
  const id = parsed.kind === "malformed" ? undefined : parsed.value.extensions.get(oids.subjectKeyIdentifier)?.value;
  if (id === undefined) throw new Error(`${issuer.commonName}: no subject key identifier`);
  return { oid: oids.authorityKeyIdentifier, critical: false, value: sequence(implicit(0, id.subarray(2))) };
}

/** What a good certificate of the pod says. */
export const identityOf = ({ facts }: Pod): LeafOptions => ({
  project: facts.project,
  serviceAccount: facts.serviceAccount,
  pod: facts.name,
  podUid: facts.uid,
});

export type Forger = {
  /** Signed by the CA of `by` (default: of its own project), good in everything that is not changed. */
  leaf(options: LeafOptions & { readonly by?: string }): Leaf;
  selfSigned(options: LeafOptions): Leaf;
};

export function createForger(cluster: Cluster, ca: Ca): Forger {
  const projects = [...cluster.projects.values()].map(({ name, uid }) => ({ name, uid }));
  const pki = createPki({ trustDomain: cluster.trustDomain, projects });
  return {
    leaf: ({ by, ...options }) => {
      const issuer = stolenAuthority(ca, by ?? options.project);
      return pki.issueLeaf({ ...options, issuer, edit: (parts) => withExtension(parts, namesIssuer(issuer)) });
    },
    selfSigned: (options) => pki.selfSigned(options),
  };
}
