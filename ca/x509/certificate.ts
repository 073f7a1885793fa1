/** Writes and signs X.509 v3 certificates (RFC 5280 4.1). Pure but for the randomness in a signature. */
import { sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { bitString, context, integer, nothing, oid, readDer, sequence, set, time, utf8, writeDer } from "./der.ts";
import type { Asn1 } from "./der.ts";

export type Template = {
  readonly serial: Uint8Array;
  readonly issuer: Asn1;
  readonly subject: Asn1;
  /** Milliseconds since the epoch; whole seconds are kept. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKey: Uint8Array;
  readonly extensions: readonly Asn1[];
};

export const emptyName = (): Asn1 => sequence();

const attribute = { organization: "2.5.4.10", commonName: "2.5.4.3" } as const;

/** `O=Tencrypt, CN=<text>`; X.520 allows 64 characters. */
export const name = (commonName: string): Asn1 =>
  sequence(
    set(sequence(oid(attribute.organization), utf8("Tencrypt"))),
    set(sequence(oid(attribute.commonName), utf8(commonName.slice(0, 64)))),
  );

type Signature = { readonly hash: string | null; readonly identifier: () => Asn1 };
const signatures: Readonly<Record<string, Signature>> = {
  prime256v1: { hash: "sha256", identifier: () => sequence(oid("1.2.840.10045.4.3.2")) },
  secp384r1: { hash: "sha384", identifier: () => sequence(oid("1.2.840.10045.4.3.3")) },
  rsa: { hash: "sha256", identifier: () => sequence(oid("1.2.840.113549.1.1.11"), nothing()) },
  ed25519: { hash: null, identifier: () => sequence(oid("1.3.101.112")) },
};

/** How a key signs, or null for a key that the mesh does not allow for an authority. */
export function signatureOf(key: KeyObject): Signature | null {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === "rsa")
    return modulusLength !== undefined && modulusLength >= 2048 ? signatures["rsa"]! : null;
  if (key.asymmetricKeyType === "ed25519") return signatures["ed25519"]!;
  return key.asymmetricKeyType === "ec" ? (signatures[namedCurve ?? ""] ?? null) : null;
}

/** A finished X.509 v3 certificate in DER. */
export function signCertificate(template: Template, issuerKey: KeyObject): Buffer {
  const signature = signatureOf(issuerKey);
  if (signature === null) throw new Error("the issuer's key is not of an allowed kind");
  const version3 = context(0, integer(Uint8Array.of(2)));
  const spki = readDer(template.publicKey);
  if (spki === null) throw new Error("the public key is not strict DER");
  const signed = sequence(
    version3,
    integer(template.serial),
    signature.identifier(),
    template.issuer,
    sequence(time(template.notBefore), time(template.notAfter)),
    template.subject,
    spki,
    context(3, sequence(...template.extensions)),
  );
  const value = sign(signature.hash, writeDer(signed), issuerKey);
  return writeDer(sequence(signed, signature.identifier(), bitString(value)));
}
