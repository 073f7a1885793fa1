/**
 * Certificates from a template whose every part can be replaced by raw DER, signed with node:crypto. The evil ones are
 * as easy to make as the good ones; nothing here judges. Start at pki.ts.
 */
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import {
  bitString,
  boolean,
  explicit,
  hex,
  implicit,
  integer,
  name,
  nothing,
  octets,
  octetString,
  oid,
  sequence,
  time,
} from "./der-writer.ts";
import type { Bytes } from "./der-writer.ts";

export type KeyType = "p256" | "p384" | "ed25519" | "rsa" | "rsa-1024" | "rsa-512" | "secp256k1";
export type KeyPair = { readonly type: KeyType; readonly privateKey: KeyObject; readonly publicKey: KeyObject };

export function generateKey(type: KeyType): KeyPair {
  const curves = { p256: "prime256v1", p384: "secp384r1", secp256k1: "secp256k1" } as const;
  if (type === "p256" || type === "p384" || type === "secp256k1") {
    return { type, ...generateKeyPairSync("ec", { namedCurve: curves[type] }) };
  }
  if (type === "ed25519") return { type, ...generateKeyPairSync("ed25519") };
  return {
    type,
    ...generateKeyPairSync("rsa", { modulusLength: { rsa: 2048, "rsa-1024": 1024, "rsa-512": 512 }[type] }),
  };
}

export const spki = (key: KeyObject): Bytes => new Uint8Array(key.export({ type: "spki", format: "der" }));

export type Digest = "sha1" | "sha256" | "sha384" | "sha512";

const ecdsa: Readonly<Record<Digest, string>> = {
  sha1: "1.2.840.10045.4.1",
  sha256: "1.2.840.10045.4.3.2",
  sha384: "1.2.840.10045.4.3.3",
  sha512: "1.2.840.10045.4.3.4",
};
const rsa: Readonly<Record<Digest, string>> = {
  sha1: "1.2.840.113549.1.1.5",
  sha256: "1.2.840.113549.1.1.11",
  sha384: "1.2.840.113549.1.1.12",
  sha512: "1.2.840.113549.1.1.13",
};

/** The AlgorithmIdentifier of a signature by this key. */
export function signatureAlgorithm(key: KeyPair, digest: Digest = "sha256"): Bytes {
  if (key.type === "ed25519") return sequence(oid("1.3.101.112"));
  return key.type.startsWith("rsa") ? sequence(oid(rsa[digest]), nothing()) : sequence(oid(ecdsa[digest]));
}

export type Extension = {
  readonly oid: string;
  readonly critical: boolean;
  /** Content of the OCTET STRING. */ readonly value: Bytes;
};

export const oids = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  podIdentity: "1.3.6.1.4.1.57683.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  codeSigning: "1.3.6.1.5.5.7.3.3",
} as const;

const extension = ({ oid: id, critical, value }: Extension): Bytes =>
  critical ? sequence(oid(id), boolean(true), octetString(value)) : sequence(oid(id), octetString(value));

export const general = {
  uri: (text: string): Bytes => implicit(6, octets(text)),
  dns: (text: string): Bytes => implicit(2, octets(text)),
  email: (text: string): Bytes => implicit(1, octets(text)),
  ip: (address: readonly number[]): Bytes => implicit(7, Uint8Array.from(address)),
  directory: (commonName: string): Bytes => explicit(4, name(commonName)),
} as const;

export const extensions = {
  subjectAltName: (critical: boolean, ...names: readonly Bytes[]): Extension => ({
    oid: oids.subjectAltName,
    critical,
    value: sequence(...names),
  }),
  basicConstraints: (ca: boolean, pathLength: number | null = null): Extension => ({
    oid: oids.basicConstraints,
    critical: true,
    value: sequence(...(ca ? [boolean(true)] : []), ...(pathLength === null ? [] : [integer(pathLength)])),
  }),
  /** Bits by number (RFC 5280, 4.2.1.3): digitalSignature 0, keyEncipherment 2, keyCertSign 5, cRLSign 6. */
  keyUsage: (...bits: readonly number[]): Extension => {
    const mask = bits.reduce((sum, bit) => sum | (0x80 >> bit), 0);
    const unused = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
    return {
      oid: oids.keyUsage,
      critical: true,
      value: bitString(mask === 0 ? new Uint8Array() : Uint8Array.of(mask), unused),
    };
  },
  extendedKeyUsage: (...usages: readonly string[]): Extension => ({
    oid: oids.extendedKeyUsage,
    critical: false,
    value: sequence(...usages.map(oid)),
  }),
  /** Excludes every DNS name and every IPv4 and IPv6 address. */
  excludeDnsAndIp: (): Extension => ({
    oid: oids.nameConstraints,
    critical: true,
    value: sequence(
      explicit(
        1,
        sequence(general.dns("")),
        sequence(implicit(7, new Uint8Array(8))),
        sequence(implicit(7, new Uint8Array(32))),
      ),
    ),
  }),
  subjectKeyIdentifier: (key: KeyObject): Extension => ({
    oid: oids.subjectKeyIdentifier,
    critical: false,
    value: octetString(keyIdentifier(key)),
  }),
  authorityKeyIdentifier: (key: KeyObject): Extension => ({
    oid: oids.authorityKeyIdentifier,
    critical: false,
    value: sequence(implicit(0, keyIdentifier(key))),
  }),
  podIdentity: (texts: readonly string[], critical = false): Extension => ({
    oid: oids.podIdentity,
    critical,
    value: sequence(...texts.map((text, index) => implicit(index, new Uint8Array(Buffer.from(text, "utf8"))))),
  }),
} as const;

const keyIdentifier = (key: KeyObject): Bytes =>
  new Uint8Array(createHash("sha256").update(spki(key)).digest().subarray(0, 20));

/** Every part is DER; `extensions` null leaves the whole field out. */
export type Template = {
  readonly version: Bytes;
  readonly serial: Bytes;
  readonly innerAlgorithm: Bytes;
  readonly outerAlgorithm: Bytes;
  readonly issuer: Bytes;
  readonly notBefore: Bytes;
  readonly notAfter: Bytes;
  readonly subject: Bytes;
  readonly spki: Bytes;
  /** issuerUniqueID, subjectUniqueID or anything else between key and extensions. */
  readonly beforeExtensions: Bytes;
  readonly extensions: readonly Extension[] | null;
  /** Replaces the whole [3] field. */
  readonly rawExtensions: Bytes | null;
  /** The last word on the signed bytes, before signing. */
  readonly editTbs: (tbs: Bytes) => Bytes;
  /** The last word on the signature, after signing. */
  readonly editSignature: (signature: Bytes) => Bytes;
  /** The last word on the certificate. */
  readonly editCertificate: (der: Bytes) => Bytes;
};

export type Subject = {
  readonly issuer: Bytes;
  readonly subject: Bytes;
  readonly publicKey: KeyObject;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly serial: bigint;
};

const same = (bytes: Bytes): Bytes => bytes;

export function template(subject: Subject, signer: KeyPair, list: readonly Extension[]): Template {
  return {
    version: explicit(0, integer(2)),
    serial: integer(subject.serial),
    innerAlgorithm: signatureAlgorithm(signer),
    outerAlgorithm: signatureAlgorithm(signer),
    issuer: subject.issuer,
    notBefore: time(subject.notBefore),
    notAfter: time(subject.notAfter),
    subject: subject.subject,
    spki: spki(subject.publicKey),
    beforeExtensions: hex(""),
    extensions: list,
    rawExtensions: null,
    editTbs: same,
    editSignature: same,
    editCertificate: same,
  };
}

export function signBytes(bytes: Bytes, signer: KeyPair, digest: Digest = "sha256"): Bytes {
  return new Uint8Array(sign(signer.type === "ed25519" ? null : digest, bytes, signer.privateKey));
}

export function buildCertificate(parts: Template, signer: KeyPair, digest: Digest = "sha256"): Bytes {
  const list = parts.extensions === null ? hex("") : explicit(3, sequence(...parts.extensions.map(extension)));
  const tbs = parts.editTbs(
    sequence(
      parts.version,
      parts.serial,
      parts.innerAlgorithm,
      parts.issuer,
      sequence(parts.notBefore, parts.notAfter),
      parts.subject,
      parts.spki,
      parts.beforeExtensions,
      parts.rawExtensions ?? list,
    ),
  );
  return parts.editCertificate(
    sequence(tbs, parts.outerAlgorithm, bitString(parts.editSignature(signBytes(tbs, signer, digest)))),
  );
}

export function toPem(der: Bytes, label = "CERTIFICATE"): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
