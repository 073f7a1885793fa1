/**
 * A JSON Web Key Set (RFC 7517) of public keys, each with the one algorithm that its kind allows: the algorithm is the
 * key's, a token cannot choose it. A set with anything unusable in it is refused as a whole. Pure.
 */
import { createPublicKey, verify } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { isTree } from "../../lib/json/tree.ts";
import type { Tree } from "../../lib/json/tree.ts";
import { readObject } from "./json.ts";

type Algorithm = "RS256" | "ES256" | "ES384";
export type TokenKey = { readonly id: string | null; readonly algorithm: Algorithm; readonly key: KeyObject };
export type KeySet = { readonly kind: "keys"; readonly keys: readonly TokenKey[] };
export type BadKeySet = { readonly kind: "unusable"; readonly detail: string };

const unusable = (detail: string): BadKeySet => ({ kind: "unusable", detail });
const privateMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

function algorithmOf(jwk: Tree): Algorithm | null {
  if (jwk["kty"] === "RSA") return "RS256";
  if (jwk["kty"] !== "EC") return null;
  return jwk["crv"] === "P-256" ? "ES256" : jwk["crv"] === "P-384" ? "ES384" : null;
}

function readKey(jwk: unknown): TokenKey | string {
  if (!isTree(jwk)) return "is no object";
  if (privateMembers.some((member) => member in jwk)) return "holds a private or secret key";
  const id = jwk["kid"];
  if (id !== undefined && typeof id !== "string") return "has a kid that is no text";
  const algorithm = algorithmOf(jwk);
  if (algorithm === null) return "is neither RSA, nor EC on P-256 or P-384";
  if (jwk["alg"] !== undefined && jwk["alg"] !== algorithm) return `names another algorithm than ${algorithm}`;
  if (jwk["use"] !== undefined && jwk["use"] !== "sig") return "is not for signatures";
  const key = importKey(jwk);
  if (key === null) return "is no valid key, or RSA of less than 2048 bits";
  return { id: id ?? null, algorithm, key };
}

function importKey(jwk: Tree): KeyObject | null {
  try {
    const key = createPublicKey({ key: jwk, format: "jwk" });
    const bits = key.asymmetricKeyDetails?.modulusLength;
    return key.asymmetricKeyType === "rsa" && (bits === undefined || bits < 2048) ? null : key;
  } catch {
    return null;
  }
}

export function readKeySet(text: string): KeySet | BadKeySet {
  const list = readObject(text)?.["keys"];
  if (!Array.isArray(list) || list.length === 0)
    return unusable('not a JSON object with a list "keys" of at least one');
  const keys: TokenKey[] = [];
  for (const [index, jwk] of list.entries()) {
    const key = readKey(jwk);
    if (typeof key === "string") return unusable(`keys[${index}] ${key}`);
    if (keys.some((other) => other.id === key.id))
      return unusable(`keys[${index}] has the kid of another key, or both have none`);
    keys.push(key);
  }
  return { kind: "keys", keys };
}

/** The key that a token names; one that names none is checked with the only key of a set of one. */
export function findKey(set: KeySet, keyId: string | null): TokenKey | null {
  if (keyId === null) return set.keys.length === 1 ? set.keys[0]! : null;
  return set.keys.find((key) => key.id === keyId) ?? null;
}

const hashes: Readonly<Record<Algorithm, string>> = { RS256: "sha256", ES256: "sha256", ES384: "sha384" };

/** RFC 7518 3.3 and 3.4: PKCS#1 v1.5, or the two halves of an ECDSA signature one behind the other. */
export const verifySignature = (key: TokenKey, signed: Uint8Array, signature: Uint8Array): boolean =>
  verify(hashes[key.algorithm], signed, { key: key.key, dsaEncoding: "ieee-p1363" }, signature);
