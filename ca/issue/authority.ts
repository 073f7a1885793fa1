/** Makes authorities: a new P-256 key and its certificate, both in PEM as a store keeps them. */
import type { KeyObject } from "node:crypto";
import type { SigningAuthority } from "../store/authority.ts";
import type { Pair } from "../store/files.ts";
import { signCertificate } from "../x509/certificate.ts";
import { newKey } from "../x509/key.ts";
import { writePem } from "../x509/pem.ts";
import { authorityTemplate, rootTemplate } from "./profile.ts";
import type { AuthorityPurpose } from "./profile.ts";
import { randomSerial } from "./serial.ts";

const pairOf = (der: Uint8Array, privateKey: KeyObject): Pair => ({
  certificate: writePem("CERTIFICATE", der),
  key: privateKey.export({ type: "pkcs8", format: "pem" }),
});

export function newRoot(now: number): Pair {
  const { publicKey, privateKey } = newKey();
  return pairOf(signCertificate(rootTemplate(publicKey, { now, serial: randomSerial() }), privateKey), privateKey);
}

export function newAuthority(purpose: AuthorityPurpose, root: SigningAuthority, now: number): Pair {
  const { publicKey, privateKey } = newKey();
  const template = authorityTemplate(purpose, publicKey, root.signer, { now, serial: randomSerial() });
  return pairOf(signCertificate(template, root.key), privateKey);
}
