/**
 * Keys and signature algorithms by their exact DER: each known one has a single accepted encoding, everything else is
 * `other` and is for the caller to refuse. Pure; node:crypto only computes.
 */
import { createPublicKey, verify } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { childrenOf, contents, decode, expectTag, malformed, oidText, parse, tags, whole, wholeOctets } from "./der.ts";
import type { Element } from "./der.ts";

export type KeyKind = "p256" | "p384" | "ed25519" | "rsa" | "other";
export type PublicKeyInfo = {
  readonly kind: KeyKind;
  readonly bits: number;
  /** SubjectPublicKeyInfo. */ readonly der: Uint8Array;
};

export type SignatureAlgorithm =
  | "ecdsa-sha256"
  | "ecdsa-sha384"
  | "ecdsa-sha512"
  | "ed25519"
  | "rsa-sha256"
  | "rsa-sha384"
  | "rsa-sha512"
  | "other";

/** AlgorithmIdentifiers in hex, octet by octet: ECDSA and Ed25519 without parameters, RSA with NULL (RFC 5758, 8410, 4055). */
const signatureAlgorithms: ReadonlyMap<string, SignatureAlgorithm> = new Map([
  ["300a06082a8648ce3d040302", "ecdsa-sha256"],
  ["300a06082a8648ce3d040303", "ecdsa-sha384"],
  ["300a06082a8648ce3d040304", "ecdsa-sha512"],
  ["300506032b6570", "ed25519"],
  ["300d06092a864886f70d01010b0500", "rsa-sha256"],
  ["300d06092a864886f70d01010c0500", "rsa-sha384"],
  ["300d06092a864886f70d01010d0500", "rsa-sha512"],
] as const);

/** Key AlgorithmIdentifiers; the curves by name only (RFC 5480, 8410, 3279). */
const keyAlgorithms: ReadonlyMap<string, KeyKind> = new Map([
  ["301306072a8648ce3d020106082a8648ce3d030107", "p256"],
  ["301006072a8648ce3d020106052b81040022", "p384"],
  ["300506032b6570", "ed25519"],
  ["300d06092a864886f70d0101010500", "rsa"],
] as const);

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");

export function signatureAlgorithmOf(identifier: Element, bytes: Uint8Array): SignatureAlgorithm {
  oidText(bytes, expectTag(identifier.children[0], tags.oid, identifier));
  return signatureAlgorithms.get(hexOf(whole(bytes, identifier))) ?? "other";
}

/** Length of an uncompressed point, with its leading 04. */
const pointLength = { p256: 65, p384: 97 } as const;

export function readPublicKey(info: Element, bytes: Uint8Array): PublicKeyInfo {
  const [algorithm, key, ...rest] = childrenOf(info, tags.sequence);
  if (rest.length > 0) malformed("SubjectPublicKeyInfo", info.start);
  const kind = keyAlgorithms.get(hexOf(whole(bytes, expectTag(algorithm, tags.sequence, info)))) ?? "other";
  const value = wholeOctets(bytes, expectTag(key, tags.bitString, info));
  const der = whole(bytes, info);
  const other = { kind: "other", bits: 0, der } as const;
  switch (kind) {
    case "p256":
    case "p384":
      return value.length === pointLength[kind] && value[0] === 0x04
        ? { kind, bits: kind === "p256" ? 256 : 384, der }
        : other;
    case "ed25519":
      return value.length === 32 ? { kind, bits: 256, der } : other;
    case "rsa":
      return { kind, bits: modulusBits(value), der };
    case "other":
      return other;
  }
}

/** RSAPublicKey (RFC 8017, A.1.1): two numbers. OpenSSL would take a negative one for a positive one. */
function modulusBits(value: Uint8Array): number {
  const root = parse(value);
  const numbers = childrenOf(root, tags.sequence).map((each) => contents(value, expectTag(each, tags.integer, root)));
  const [modulus] = numbers;
  if (modulus === undefined || numbers.length !== 2 || numbers.some((octets) => (octets[0]! & 0x80) !== 0))
    return malformed("RSAPublicKey", root.start);
  const first = modulus[0] === 0x00 ? modulus.subarray(1) : modulus;
  return first.length === 0 ? 0 : (first.length - 1) * 8 + (32 - Math.clz32(first[0]!));
}

/** The key as node:crypto sees it; null if it refuses it (a point that is not on the curve). */
export function importKey({ der }: Pick<PublicKeyInfo, "der">): KeyObject | null {
  try {
    return createPublicKey({ key: Buffer.from(der), format: "der", type: "spki" });
  } catch {
    return null;
  }
}

type Scheme = { readonly key: "ec" | "ed25519" | "rsa"; readonly digest: "sha256" | "sha384" | "sha512" | null };

const schemes: Readonly<Record<Exclude<SignatureAlgorithm, "other">, Scheme>> = {
  "ecdsa-sha256": { key: "ec", digest: "sha256" },
  "ecdsa-sha384": { key: "ec", digest: "sha384" },
  "ecdsa-sha512": { key: "ec", digest: "sha512" },
  ed25519: { key: "ed25519", digest: null },
  "rsa-sha256": { key: "rsa", digest: "sha256" },
  "rsa-sha384": { key: "rsa", digest: "sha384" },
  "rsa-sha512": { key: "rsa", digest: "sha512" },
};

export type SignatureCheck = "good" | "bad" | "wrong-algorithm";
type Signed = { readonly tbs: Uint8Array; readonly algorithm: SignatureAlgorithm; readonly signature: Uint8Array };

/** Whether `key` signed `tbs`; the algorithm has to be one for that kind of key. Never throws. */
export function checkSignature({ tbs, algorithm, signature }: Signed, key: KeyObject): SignatureCheck {
  const scheme = algorithm === "other" ? null : schemes[algorithm];
  if (scheme === null || scheme.key !== key.asymmetricKeyType) return "wrong-algorithm";
  if (scheme.key === "ec" && !isEcdsaSignature(signature)) return "bad";
  try {
    return verify(scheme.digest, tbs, key, signature) ? "good" : "bad";
  } catch {
    return "bad";
  }
}

/** Ecdsa-Sig-Value (RFC 3279, 2.2.3) in strict DER, so that one pair (r, s) has one encoding whatever OpenSSL tolerates. */
function isEcdsaSignature(signature: Uint8Array): boolean {
  const decoded = decode(signature, (root, bytes) => {
    const numbers = childrenOf(root, tags.sequence);
    return (
      numbers.length === 2 &&
      numbers.every((number) => number.tag === tags.integer && (bytes[number.content]! & 0x80) === 0)
    );
  });
  return decoded.kind === "decoded" && decoded.value;
}
