/**
 * Writes the one certificate request that a program of the mesh ever sends: empty subject, no attributes, a P-256 key
 * and the proof that the sender holds it. Identity is the CA's to decide. RFC 2986. Pure.
 */
import { createPublicKey, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";

const INTEGER_ZERO = Buffer.from([0x02, 0x01, 0x00]);
const EMPTY_NAME = Buffer.from([0x30, 0x00]);
const NO_ATTRIBUTES = Buffer.from([0xa0, 0x00]);
/** AlgorithmIdentifier of ecdsa-with-SHA256 (1.2.840.10045.4.3.2), without parameters (RFC 5758). */
const ECDSA_WITH_SHA256 = Buffer.from("300a06082a8648ce3d040302", "hex");

/** One DER element; lengths up to 65535, which is far above any request. */
function element(tag: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

/** PKCS#10 in PEM for a P-256 private key. */
export function createCsr(privateKey: KeyObject): string {
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const info = element(0x30, INTEGER_ZERO, EMPTY_NAME, spki, NO_ATTRIBUTES);
  const signature = sign("sha256", info, privateKey);
  const der = element(0x30, info, ECDSA_WITH_SHA256, element(0x03, Buffer.from([0]), signature));
  const lines = der.toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join("\n")}\n-----END CERTIFICATE REQUEST-----\n`;
}
