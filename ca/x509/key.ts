/** New keys: P-256, the one kind that the ca makes. */
import { generateKeyPairSync } from "node:crypto";
import type { KeyObject } from "node:crypto";

export type KeyPair = {
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKey: Buffer;
  readonly privateKey: KeyObject;
};

export function newKey(): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  return { publicKey: publicKey.export({ type: "spki", format: "der" }), privateKey };
}
