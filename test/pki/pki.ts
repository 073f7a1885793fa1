/**
 * A test PKI with the shape of the real one: root -> project CAs and control-plane CA -> leaves. Good by default; every
 * part of every certificate can be bent through `edit`. Written with its own DER writer and node:crypto, so nothing
 * here shares code with the reader and the verifier under test.
 *
 *     const pki = createPki({ trustDomain: "cluster.local", projects: [{ name: "shop", uid: "b1c0" }] });
 *     const leaf = pki.issueLeaf({ project: "shop", serviceAccount: "cart", podUid: "9f3e" });
 *     tls.createServer({ cert: leaf.chainPem, key: leaf.keyPem, ca: pki.root.pem });
 *     const loaded = loadBundle(pki.rawBundle());                     // lib/trust/bundle.ts
 *     verify({ chain: leaf.chain, ... });                             // lib/x509/verify.ts
 *
 *     pki.issueLeaf({ project: "shop", issuer: pki.project("other") })            // shop's name, other's CA
 *     pki.issueLeaf({ project: "shop", notBefore: now - 2 * hour, notAfter: now - hour })
 *     pki.issueLeaf({ project: "shop", keyType: "rsa" })
 *     pki.issueLeaf({ project: "shop", signer: generateKey("p256") })             // issuer forged
 *     pki.issueLeaf({ project: "shop", edit: (c) => withExtension(c, extensions.basicConstraints(true)) })
 *     pki.selfSigned({ project: "shop" })                                         // chain of one
 *     pki.issueControlPlane({ project: "tencrypt-ca", serviceAccount: "tencrypt-ca", names: [general.dns("localhost")] })
 *     createAuthority({ commonName: "evil", uri: null, issuer: null })            // a CA of one's own
 *
 * Times are milliseconds since the epoch; `now` is the real time unless given.
 */
import type { KeyObject } from "node:crypto";
import { buildCertificate, extensions, general, generateKey, oids, template, toPem } from "./certificate.ts";
import type { Digest, Extension, KeyPair, KeyType, Template } from "./certificate.ts";
import { name } from "./der-writer.ts";
import type { Bytes } from "./der-writer.ts";

export { extensions, general, generateKey, oids } from "./certificate.ts";
export type { Extension, KeyPair, KeyType, Template } from "./certificate.ts";

export const second = 1000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const day = 24 * hour;

export type Edit = (parts: Template) => Template;

/** The extension in place of the one with the same OID, or appended. */
export function withExtension(parts: Template, extension: Extension): Template {
  const list = parts.extensions ?? [];
  const known = list.some((each) => each.oid === extension.oid);
  return {
    ...parts,
    extensions: known ? list.map((each) => (each.oid === extension.oid ? extension : each)) : [...list, extension],
  };
}

export const withoutExtension = (parts: Template, oid: string): Template => ({
  ...parts,
  extensions: (parts.extensions ?? []).filter((each) => each.oid !== oid),
});

export type TestAuthority = {
  readonly commonName: string;
  readonly subject: Bytes;
  readonly key: KeyPair;
  readonly der: Bytes;
  readonly pem: string;
  readonly keyPem: string;
};

export type AuthorityOptions = {
  readonly commonName: string;
  /** URI SAN; null for none (a root). */
  readonly uri: string | null;
  /** Null: self-signed. */
  readonly issuer: TestAuthority | null;
  readonly keyType?: KeyType;
  readonly key?: KeyPair;
  readonly pathLength?: number | null;
  readonly excludeNames?: boolean;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly digest?: Digest;
  readonly edit?: Edit;
};

let lastSerial = 0x1000n;

export const privatePem = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" });

export function createAuthority(options: AuthorityOptions): TestAuthority {
  const key = options.key ?? generateKey(options.keyType ?? "p256");
  const subject = name(options.commonName);
  const signer = options.issuer?.key ?? key;
  const list = [
    extensions.basicConstraints(true, options.pathLength ?? null),
    extensions.keyUsage(5, 6),
    ...(options.uri === null ? [] : [extensions.subjectAltName(false, general.uri(options.uri))]),
    ...(options.excludeNames === true ? [extensions.excludeDnsAndIp()] : []),
    extensions.subjectKeyIdentifier(key.publicKey),
    ...(options.issuer === null ? [] : [extensions.authorityKeyIdentifier(signer.publicKey)]),
  ];
  const parts = template(
    {
      issuer: options.issuer?.subject ?? subject,
      subject,
      publicKey: key.publicKey,
      notBefore: options.notBefore ?? Date.now() - hour,
      notAfter: options.notAfter ?? Date.now() + 365 * day,
      serial: ++lastSerial,
    },
    signer,
    list,
  );
  const der = buildCertificate(options.edit?.(parts) ?? parts, signer, options.digest);
  return { commonName: options.commonName, subject, key, der, pem: toPem(der), keyPem: privatePem(key.privateKey) };
}

export type Leaf = {
  readonly der: Bytes;
  readonly pem: string;
  readonly key: KeyPair;
  readonly keyPem: string;
  /** Leaf and its issuer, as sent. */
  readonly chain: readonly Bytes[];
  readonly chainPem: string;
  readonly uri: string;
};

export type LeafOptions = {
  readonly project: string;
  readonly serviceAccount?: string;
  readonly pod?: string;
  readonly podUid?: string;
  readonly namespaceUid?: string;
  /** The eight texts of PodIdentity, or null for no extension; default from the fields above. */
  readonly podIdentity?: readonly string[] | null;
  readonly uri?: string;
  /** Further subject alternative names, after the URI. */
  readonly names?: readonly Bytes[];
  readonly issuer?: TestAuthority;
  /** Signs in the issuer's place. */
  readonly signer?: KeyPair;
  readonly key?: KeyPair;
  readonly keyType?: KeyType;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly digest?: Digest;
  readonly edit?: Edit;
};

type LeafIssuer = { readonly subject: Bytes; readonly key: KeyPair };

function buildLeaf(
  options: LeafOptions,
  issuer: LeafIssuer,
  defaults: { trustDomain: string; namespaceUid: string; now: number; key: KeyPair },
): Omit<Leaf, "chain" | "chainPem"> {
  const { project, serviceAccount = "default", pod = `${serviceAccount}-1`, podUid = `uid-of-${pod}` } = options;
  const uri = options.uri ?? `spiffe://${defaults.trustDomain}/ns/${project}/sa/${serviceAccount}`;
  const namespaceUid = options.namespaceUid ?? defaults.namespaceUid;
  const texts =
    options.podIdentity === undefined
      ? [project, namespaceUid, serviceAccount, "", pod, podUid, "", ""]
      : options.podIdentity;
  const notBefore = options.notBefore ?? defaults.now - minute;
  const signer = options.signer ?? issuer.key;
  const parts = template(
    {
      issuer: issuer.subject,
      subject: name(null),
      publicKey: defaults.key.publicKey,
      notBefore,
      notAfter: options.notAfter ?? notBefore + day,
      serial: ++lastSerial,
    },
    signer,
    [
      extensions.basicConstraints(false),
      extensions.keyUsage(0),
      extensions.extendedKeyUsage(oids.serverAuth, oids.clientAuth),
      extensions.subjectAltName(true, general.uri(uri), ...(options.names ?? [])),
      extensions.authorityKeyIdentifier(issuer.key.publicKey),
      ...(texts === null ? [] : [extensions.podIdentity(texts)]),
    ],
  );
  const der = buildCertificate(options.edit?.(parts) ?? parts, signer, options.digest);
  return { der, pem: toPem(der), key: defaults.key, keyPem: privatePem(defaults.key.privateKey), uri };
}

/** What lib/trust/bundle.ts builds a bundle from. */
export type RawBundle = {
  readonly version: bigint;
  readonly trustDomain: string;
  readonly roots: readonly Bytes[];
  readonly projects: readonly { readonly name: string; readonly uid: string; readonly authorities: readonly Bytes[] }[];
  readonly denied: readonly string[];
};

export type Pki = {
  readonly trustDomain: string;
  readonly root: TestAuthority;
  readonly controlPlane: TestAuthority;
  /** The CA of a project; throws for one that the PKI was not made with. */
  project(name: string): TestAuthority;
  issueLeaf(options: LeafOptions): Leaf;
  /** By the control-plane CA, without PodIdentity. */
  issueControlPlane(options: LeafOptions): Leaf;
  /** Signed by its own key under an invented issuer; the chain holds the leaf alone. */
  selfSigned(options: LeafOptions): Leaf;
  rawBundle(changes?: Partial<RawBundle>): RawBundle;
};

export type PkiOptions = {
  readonly trustDomain?: string;
  readonly projects: readonly { readonly name: string; readonly uid: string }[];
  readonly rootKeyType?: KeyType;
  readonly authorityKeyType?: KeyType;
  readonly now?: number;
};

export const projectUri = (trustDomain: string, project: string): string =>
  `spiffe://${trustDomain}/ca/project/${project}`;
export const controlPlaneUri = (trustDomain: string): string => `spiffe://${trustDomain}/ca/control-plane`;

export function createPki(options: PkiOptions): Pki {
  const { trustDomain = "cluster.local", now = Date.now(), authorityKeyType = "p256" } = options;
  const span = { notBefore: now - hour, notAfter: now + 365 * day };
  const root = createAuthority({
    commonName: "test root",
    uri: null,
    issuer: null,
    keyType: options.rootKeyType ?? "p256",
    ...span,
  });
  const under = { issuer: root, keyType: authorityKeyType, pathLength: 0, ...span };
  const controlPlane = createAuthority({ commonName: "control plane", uri: controlPlaneUri(trustDomain), ...under });
  const authorities = new Map(
    options.projects.map((project) => [
      project.name,
      createAuthority({
        commonName: `project ${project.name}`,
        uri: projectUri(trustDomain, project.name),
        excludeNames: true,
        ...under,
      }),
    ]),
  );
  const uids = new Map(options.projects.map((project) => [project.name, project.uid]));
  const project = (wanted: string): TestAuthority => {
    const authority = authorities.get(wanted);
    if (authority === undefined) throw new Error(`the test PKI has no project ${wanted}`);
    return authority;
  };
  const issue = (leafOptions: LeafOptions, issuer: TestAuthority): Leaf => {
    const key = leafOptions.key ?? generateKey(leafOptions.keyType ?? "p256");
    const leaf = buildLeaf(leafOptions, issuer, {
      trustDomain,
      namespaceUid: uids.get(leafOptions.project) ?? "",
      now,
      key,
    });
    return { ...leaf, chain: [leaf.der, issuer.der], chainPem: leaf.pem + issuer.pem };
  };
  return {
    trustDomain,
    root,
    controlPlane,
    project,
    issueLeaf: (leafOptions) => issue(leafOptions, leafOptions.issuer ?? project(leafOptions.project)),
    issueControlPlane: (leafOptions) =>
      issue({ podIdentity: null, ...leafOptions }, leafOptions.issuer ?? controlPlane),
    selfSigned: (leafOptions) => {
      const key = leafOptions.key ?? generateKey(leafOptions.keyType ?? "p256");
      const leaf = buildLeaf(
        leafOptions,
        { subject: name("nobody"), key },
        { trustDomain, namespaceUid: uids.get(leafOptions.project) ?? "", now, key },
      );
      return { ...leaf, chain: [leaf.der], chainPem: leaf.pem };
    },
    rawBundle: (changes = {}) => ({
      version: 1n,
      trustDomain,
      roots: [root.der],
      projects: options.projects.map(({ name: each, uid }) => ({ name: each, uid, authorities: [project(each).der] })),
      denied: [],
      ...changes,
    }),
  };
}
