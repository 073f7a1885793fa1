/**
 * DER to certificate (RFC 5280, 4.1), form only: what it says, not whether it may be believed. A certificate that is
 * not strict DER, or whose structure leaves the RFC's form, is `malformed`; everything that a policy decides (version,
 * keys, names, usages, lifetimes) is handed on as it stands. Names are octets as Latin-1 text, never cut at a NUL.
 * Each extension is read once and may occur once. Pure; views into the given bytes, nothing is copied.
 */
import {
  childrenOf,
  contents,
  decode,
  expectTag,
  latin1Text,
  malformed,
  namedBits,
  oidText,
  parse,
  smallInteger,
  tags,
  whole,
  wholeOctets,
} from "./der.ts";
import type { Decoded, Element } from "./der.ts";
import { readTime } from "./time.ts";
import { readPublicKey, signatureAlgorithmOf } from "./algorithms.ts";
import type { PublicKeyInfo, SignatureAlgorithm } from "./algorithms.ts";
import { readPodIdentity } from "./pod-identity.ts";
import type { PodIdentity } from "./pod-identity.ts";

export type GeneralName = {
  readonly kind: "other" | "email" | "dns" | "x400" | "directory" | "edi" | "uri" | "ip" | "registered";
  /** Content octets as Latin-1. */
  readonly text: string;
};

export type Extension = { readonly critical: boolean; /** Content of the OCTET STRING. */ readonly value: Uint8Array };

export type Certificate = {
  readonly der: Uint8Array;
  /** The signed part, header included. */
  readonly tbs: Uint8Array;
  readonly signature: Uint8Array;
  /** 1, 2 or 3; other numbers as found, plus one. */
  readonly version: number;
  /** Content octets of the INTEGER, two's complement. */
  readonly serial: Uint8Array;
  readonly algorithm: SignatureAlgorithm;
  /** Whether the AlgorithmIdentifier outside of the signed part is the same, octet by octet. */
  readonly algorithmsAgree: boolean;
  /** Names as DER. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly subjectEmpty: boolean;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly key: PublicKeyInfo;
  /** By dotted OID. */
  readonly extensions: ReadonlyMap<string, Extension>;
  /** Each null where the extension is absent. */
  readonly names: readonly GeneralName[] | null;
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | null } | null;
  /** Bit n of RFC 5280, 4.2.1.3 as `1 << n`. */
  readonly keyUsage: number | null;
  readonly extendedKeyUsage: readonly string[] | null;
  readonly nameConstraints: Uint8Array | null;
  readonly podIdentity: PodIdentity | null;
};

export const extensionOids = {
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  extendedKeyUsage: "2.5.29.37",
  podIdentity: "1.3.6.1.4.1.57683.1",
} as const;

export const purposes = { serverAuth: "1.3.6.1.5.5.7.3.1", clientAuth: "1.3.6.1.5.5.7.3.2" } as const;

export const keyUsageBits = { digitalSignature: 1 << 0, keyCertSign: 1 << 5, crlSign: 1 << 6 } as const;

/** Never throws. */
export const parseCertificate = (der: Uint8Array): Decoded<Certificate> => decode(der, readCertificate);

function readCertificate(root: Element, der: Uint8Array): Certificate {
  const parts = childrenOf(root, tags.sequence);
  if (parts.length !== 3) malformed("certificate without exactly three parts", root.start);
  const tbs = expectTag(parts[0], tags.sequence, root);
  const outer = expectTag(parts[1], tags.sequence, root);
  const signature = expectTag(parts[2], tags.bitString, root);
  const fields = readTbs(tbs, der);
  return {
    der,
    tbs: whole(der, tbs),
    signature: wholeOctets(der, signature),
    algorithmsAgree: Buffer.compare(whole(der, outer), fields.innerAlgorithm) === 0,
    ...fields.values,
    ...readExtensions(fields.extensions, der),
  };
}

type TbsValues = Pick<
  Certificate,
  "version" | "serial" | "algorithm" | "issuer" | "subject" | "subjectEmpty" | "notBefore" | "notAfter" | "key"
>;

function readTbs(
  tbs: Element,
  der: Uint8Array,
): { values: TbsValues; innerAlgorithm: Uint8Array; extensions: Element | undefined } {
  const fields = tbs.children;
  const versioned = fields[0]?.tag === 0xa0;
  const version = versioned ? readVersion(fields[0]!, der) : 1;
  const [serial, algorithm, issuer, validity, subject, key, extensions, ...rest] = versioned ? fields.slice(1) : fields;
  // issuerUniqueID and subjectUniqueID must not be used (RFC 5280, 4.1.2.8), so after the key come extensions or nothing.
  if (rest.length > 0) malformed("more fields than a certificate has", rest[0]!.start);
  const inner = expectTag(algorithm, tags.sequence, tbs);
  const issuerName = checkedName(expectTag(issuer, tags.sequence, tbs));
  const subjectName = checkedName(expectTag(subject, tags.sequence, tbs));
  const values = {
    version,
    serial: contents(der, expectTag(serial, tags.integer, tbs)),
    algorithm: signatureAlgorithmOf(inner, der),
    issuer: whole(der, issuerName),
    subject: whole(der, subjectName),
    subjectEmpty: subjectName.children.length === 0,
    ...readValidity(expectTag(validity, tags.sequence, tbs), der),
    key: readPublicKey(expectTag(key, tags.sequence, tbs), der),
  };
  return { values, innerAlgorithm: whole(der, inner), extensions: extensions && expectTag(extensions, 0xa3, tbs) };
}

function readVersion(field: Element, der: Uint8Array): number {
  const [number, ...rest] = field.children;
  if (rest.length > 0) malformed("version", field.start);
  const version = smallInteger(der, expectTag(number, tags.integer, field)) + 1;
  // DEFAULT v1: written out, it is not DER (X.690, 11.5).
  if (version === 1) malformed("default version written out", field.start);
  return version;
}

function readValidity(field: Element, der: Uint8Array): { notBefore: number; notAfter: number } {
  const [notBefore, notAfter, ...rest] = field.children;
  if (notBefore === undefined || notAfter === undefined || rest.length > 0) return malformed("validity", field.start);
  return { notBefore: readTime(notBefore, der), notAfter: readTime(notAfter, der) };
}

/** RDNSequence of SETs of (OID, value). */
function checkedName(name: Element): Element {
  for (const rdn of name.children) {
    if (childrenOf(rdn, tags.set).length === 0) malformed("empty relative name", rdn.start);
    for (const attribute of rdn.children) {
      const [type, value, ...rest] = childrenOf(attribute, tags.sequence);
      expectTag(type, tags.oid, attribute);
      if (value === undefined || rest.length > 0) malformed("attribute of a name", attribute.start);
    }
  }
  return name;
}

type ExtensionValues = Pick<
  Certificate,
  "extensions" | "names" | "basicConstraints" | "keyUsage" | "extendedKeyUsage" | "nameConstraints" | "podIdentity"
>;

function readExtensions(field: Element | undefined, der: Uint8Array): ExtensionValues {
  const extensions = field === undefined ? new Map<string, Extension>() : readExtensionList(field, der);
  const read = <T>(oid: string, take: (root: Element, value: Uint8Array) => T): T | null => {
    const value = extensions.get(oid)?.value;
    return value === undefined ? null : take(parse(value), value);
  };
  return {
    extensions,
    names: read(extensionOids.subjectAltName, readGeneralNames),
    basicConstraints: read(extensionOids.basicConstraints, readBasicConstraints),
    keyUsage: read(extensionOids.keyUsage, (root, value) => namedBits(value, expectTag(root, tags.bitString, root))),
    extendedKeyUsage: read(extensionOids.extendedKeyUsage, readUsages),
    nameConstraints: read(extensionOids.nameConstraints, (_root, value) => value),
    podIdentity: read(extensionOids.podIdentity, readPodIdentity),
  };
}

function readExtensionList(field: Element, der: Uint8Array): Map<string, Extension> {
  const [list, ...rest] = field.children;
  const entries = childrenOf(expectTag(list, tags.sequence, field), tags.sequence);
  if (rest.length > 0 || entries.length === 0) malformed("list of extensions", field.start);
  const extensions = new Map<string, Extension>();
  for (const entry of entries) {
    const parts = childrenOf(entry, tags.sequence);
    const oid = oidText(der, expectTag(parts[0], tags.oid, entry));
    if (parts.length < 2 || parts.length > 3) malformed("extension", entry.start);
    if (extensions.has(oid)) malformed(`extension ${oid} twice`, entry.start);
    const critical = parts.length === 3 && isTrue(expectTag(parts[1], tags.boolean, entry), der);
    extensions.set(oid, { critical, value: contents(der, expectTag(parts.at(-1), tags.octetString, entry)) });
  }
  return extensions;
}

/** For BOOLEAN DEFAULT FALSE: FALSE written out is not DER (X.690, 11.5). */
function isTrue(element: Element, bytes: Uint8Array): true {
  if (bytes[element.content] !== 0xff) malformed("default FALSE written out", element.start);
  return true;
}

const generalNameKinds: ReadonlyMap<number, GeneralName["kind"]> = new Map([
  [0xa0, "other"],
  [0x81, "email"],
  [0x82, "dns"],
  [0xa3, "x400"],
  [0xa4, "directory"],
  [0xa5, "edi"],
  [0x86, "uri"],
  [0x87, "ip"],
  [0x88, "registered"],
] as const);

function readGeneralNames(root: Element, bytes: Uint8Array): readonly GeneralName[] {
  return childrenOf(root, tags.sequence).map((element) => {
    const kind = generalNameKinds.get(element.tag);
    if (kind === undefined) return malformed("kind of a general name", element.start);
    return { kind, text: latin1Text(bytes, element) };
  });
}

function readBasicConstraints(root: Element, bytes: Uint8Array): { ca: boolean; pathLength: number | null } {
  const fields = childrenOf(root, tags.sequence);
  const ca = fields[0]?.tag === tags.boolean && isTrue(fields[0], bytes);
  const [pathLength, ...rest] = ca ? fields.slice(1) : fields;
  if (rest.length > 0) malformed("BasicConstraints", root.start);
  return {
    ca,
    pathLength: pathLength === undefined ? null : smallInteger(bytes, expectTag(pathLength, tags.integer, root)),
  };
}

function readUsages(root: Element, bytes: Uint8Array): readonly string[] {
  const usages = childrenOf(root, tags.sequence).map((usage) => oidText(bytes, expectTag(usage, tags.oid, root)));
  if (usages.length === 0) malformed("ExtendedKeyUsage without usages", root.start);
  return usages;
}
