/** The X.509 extensions that the ca writes (RFC 5280 4.2), and no others. Pure. */
import { createHash } from "node:crypto";
import type { PodIdentity } from "../../lib/x509/verify.ts";
import {
  bitString,
  content,
  context,
  contextPrimitive,
  integer,
  octets,
  oid,
  readDer,
  sequence,
  sequenceOf,
  tag,
  truth,
  writeDer,
} from "./der.ts";
import type { Asn1 } from "./der.ts";

export const extensionOid = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  /** KEP-4317. */
  podIdentity: "1.3.6.1.4.1.57683.1",
} as const;

const purpose = { serverAuth: "1.3.6.1.5.5.7.3.1", clientAuth: "1.3.6.1.5.5.7.3.2" } as const;

function extension(id: string, critical: boolean, value: Asn1): Asn1 {
  const wrapped = octets(writeDer(value));
  return critical ? sequence(oid(id), truth(), wrapped) : sequence(oid(id), wrapped);
}

/** A leaf: DER leaves CA:FALSE out, so the sequence is empty. */
export const notAnAuthority: Asn1 = extension(extensionOid.basicConstraints, true, sequence());

export function authority(pathLength: number | null): Asn1 {
  const limit = pathLength === null ? [] : [integer(Uint8Array.of(pathLength))];
  return extension(extensionOid.basicConstraints, true, sequence(truth(), ...limit));
}

/** digitalSignature is bit 0. */
export const digitalSignatureUsage: Asn1 = extension(extensionOid.keyUsage, true, bitString(Uint8Array.of(0x80), 7));
/** keyCertSign is bit 5, cRLSign bit 6. */
export const authorityUsage: Asn1 = extension(extensionOid.keyUsage, true, bitString(Uint8Array.of(0x06), 1));

export const tlsPurposes: Asn1 = extension(
  extensionOid.extendedKeyUsage,
  false,
  sequence(oid(purpose.serverAuth), oid(purpose.clientAuth)),
);

/** A general name: a URI, a DNS name, or the 4 or 16 octets of an address. */
export type GeneralName =
  | { readonly kind: "uri" | "dns"; readonly text: string }
  | { readonly kind: "ip"; readonly bytes: Uint8Array };

function generalName(name: GeneralName): Asn1 {
  if (name.kind === "ip") return contextPrimitive(7, name.bytes);
  return contextPrimitive(name.kind === "uri" ? 6 : 2, Buffer.from(name.text, "latin1"));
}

/** RFC 5280 4.2.1.6: critical exactly when the subject is empty. */
export const subjectAltName = (names: readonly GeneralName[], critical: boolean): Asn1 =>
  extension(extensionOid.subjectAltName, critical, sequence(...names.map(generalName)));

/** Excludes every DNS name (the empty base matches all) and every address of both families. */
export function excludeDnsAndAddresses(): Asn1 {
  const everything = [
    contextPrimitive(2, new Uint8Array(0)),
    contextPrimitive(7, new Uint8Array(8)),
    contextPrimitive(7, new Uint8Array(32)),
  ];
  const excluded = context(1, ...everything.map((base) => sequence(base)));
  return extension(extensionOid.nameConstraints, true, sequence(excluded));
}

/** RFC 7093 method 1: the leftmost 160 bits of the SHA-256 of the subject's public key, which comes as SubjectPublicKeyInfo. */
export function keyId(publicKey: Uint8Array): Buffer {
  const spki = sequenceOf(readDer(publicKey) ?? undefined);
  const bits = content(spki?.[1], tag.bitString);
  if (bits === null) throw new Error("the public key is not a SubjectPublicKeyInfo");
  return createHash("sha256").update(bits.subarray(1)).digest().subarray(0, 20);
}

export const subjectKeyId = (id: Uint8Array): Asn1 => extension(extensionOid.subjectKeyIdentifier, false, octets(id));
export const authorityKeyId = (id: Uint8Array): Asn1 =>
  extension(extensionOid.authorityKeyIdentifier, false, sequence(contextPrimitive(0, id)));

/** SEQUENCE of `[0]` to `[7]` IMPLICIT UTF8String, all present, empty where unknown; not critical here. */
export function podIdentity(pod: PodIdentity): Asn1 {
  const texts = [
    pod.namespace,
    pod.namespaceUid,
    pod.serviceAccount,
    pod.serviceAccountUid,
    pod.pod,
    pod.podUid,
    pod.node,
    pod.nodeUid,
  ];
  return extension(
    extensionOid.podIdentity,
    false,
    sequence(...texts.map((text, index) => contextPrimitive(index, Buffer.from(text)))),
  );
}
