/** Certificate requests (PKCS#10), good and evil: every part can be replaced, and is signed as it then stands. */
import { createPublicKey } from "node:crypto";
import { general, generateKey, signatureAlgorithm, signBytes, spki, toPem } from "./certificate.ts";
import type { KeyPair } from "./certificate.ts";
import {
  bitString,
  boolean,
  concat,
  explicit,
  integer,
  name,
  octets,
  octetString,
  oid,
  sequence,
  set,
} from "./der-writer.ts";
import type { Bytes } from "./der-writer.ts";

export type RequestParts = {
  readonly key: KeyPair;
  readonly version: Bytes;
  readonly subject: Bytes;
  readonly publicKey: Bytes;
  /** Null leaves the field out. */
  readonly attributes: Bytes | null;
  readonly algorithm: Bytes;
  /** After signing. */
  readonly tamper: (der: Bytes) => Bytes;
  readonly signature: (info: Bytes) => Bytes;
};

export const extensionRequest = (...extensions: Bytes[]): Bytes =>
  sequence(oid("1.2.840.113549.1.9.14"), set(sequence(...extensions)));
export const extension = (id: string, critical: boolean, value: Bytes): Bytes =>
  sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(value));
export const subjectAltName = (critical: boolean, ...names: Bytes[]): Bytes =>
  extension("2.5.29.17", critical, sequence(...names));
export const asking = (...extensions: Bytes[]): Bytes => explicit(0, extensionRequest(...extensions));
/** What ztunnel and Istio's agents send: the own name, critical. */
export const askingForUri = (uri: string, critical = true): Bytes => asking(subjectAltName(critical, general.uri(uri)));
/** Istio's agent in Go: one organization that is empty, as a PrintableString. */
export const emptyOrganization = (): Bytes => sequence(set(sequence(oid("2.5.4.10"), octets("\x13\x00"))));

export function requestDer(changes: Partial<RequestParts> = {}): Bytes {
  const key = changes.key ?? generateKey("p256");
  const parts: RequestParts = {
    key,
    version: integer(0),
    subject: name(null),
    publicKey: spki(createPublicKey(key.privateKey)),
    attributes: explicit(0),
    algorithm: signatureAlgorithm(key),
    tamper: (der) => der,
    signature: (info) => signBytes(info, key),
    ...changes,
  };
  const info = sequence(
    parts.version,
    parts.subject,
    parts.publicKey,
    ...(parts.attributes === null ? [] : [parts.attributes]),
  );
  return parts.tamper(concat(sequence(info, parts.algorithm, bitString(parts.signature(info)))));
}

export const requestPem = (changes: Partial<RequestParts> = {}): string =>
  toPem(requestDer(changes), "CERTIFICATE REQUEST");
