/**
 * The proof of in-band re-authentication: one end of a live session shows a new certificate and signs, with its key,
 * what only these two ends of this session can name. docs/adr/0009-re-authentication.md says what is bound and why.
 * Pure: the keying material is an argument.
 *
 * Signed, in the form of a TLS 1.3 CertificateVerify (RFC 8446, 4.4.3) under a context string of its own:
 *
 *   64 spaces | "Tencrypt re-authentication, <role>" | 0
 *   | keying material, 32, exported under the role's label | number of the exchange, 8
 *   | SHA-256 of the client's leaf so far, 32 | the same of the server's, 32
 *   | SHA-256 of the new chain, 32 | SHA-256 of the request that is answered, 32 (zeros in the request)
 */
import { createHash, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { Reason } from "../../lib/errors/reasons.ts";
import type { Fault } from "../../lib/x509/fault.ts";
import { checkSignature, importKey } from "../../lib/x509/algorithms.ts";
import { verify } from "../../lib/x509/verify.ts";
import type { Peer, Refusal, Verification } from "../../lib/x509/verify.ts";

/** Where the request goes; it is a POST. */
export const reauthenticationPath = "/tencrypt/reauthenticate";

export type Role = "client" | "server";

/** RFC 5705, 4: labels that are not registered begin so. Each end exports under its own: no proof can be sent back. */
export const exporterLabel = (role: Role): string => `EXPERIMENTAL tencrypt re-authentication ${role}`;
export const exporterLength = 32;

export const digestOf = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();

/** What both ends know without being told. */
export type Binding = {
  readonly role: Role;
  readonly keyingMaterial: Uint8Array;
  /** SHA-256 of the leaves that stand for the two ends before this exchange. */
  readonly leaves: Readonly<Record<Role, Uint8Array>>;
  /** SHA-256 of the request that this proof answers; null in the request itself. */
  readonly request: Uint8Array | null;
};

export type Proof = {
  /** Of the exchange on this session, from 1; each number is good once. */
  readonly sequence: number;
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly signature: Uint8Array;
};

export function signedBytes(
  { role, keyingMaterial, leaves, request }: Binding,
  proof: Omit<Proof, "signature">,
): Buffer {
  const head = Buffer.from(`${" ".repeat(64)}Tencrypt re-authentication, ${role}\0`, "latin1");
  const chain = digestOf(Buffer.concat(proof.chain.flatMap(withLength)));
  const answered = request ?? new Uint8Array(32);
  return Buffer.concat([head, keyingMaterial, number(proof.sequence), leaves.client, leaves.server, chain, answered]);
}

export function createProof(
  binding: Binding,
  { sequence, chain, key }: Omit<Proof, "signature"> & { readonly key: KeyObject },
): Proof {
  const digest = key.asymmetricKeyType === "ed25519" ? null : "sha256";
  return { sequence, chain, signature: sign(digest, signedBytes(binding, { sequence, chain }), key) };
}

/** The chain by the one verifier, then the signature by the key of its leaf. */
export function checkProof(
  proof: Proof,
  binding: Binding,
  against: Omit<Verification, "chain" | "openssl">,
): Peer | Refusal {
  const verdict = verify({ ...against, chain: proof.chain, openssl: { kind: "not-asked" } });
  if (verdict.kind === "refusal") return verdict;
  const refused = (reason: Reason, detail: string): Refusal => ({
    kind: "refusal",
    reason,
    detail,
    claimed: verdict.uri,
  });
  // In a handshake OpenSSL has looked at the point.
  const key = importKey({ der: verdict.publicKey });
  if (key === null) return refused("bad_key", "refused by OpenSSL");
  const algorithm = key.asymmetricKeyType === "ed25519" ? "ed25519" : "ecdsa-sha256";
  const signed = { tbs: signedBytes(binding, proof), algorithm, signature: proof.signature } as const;
  return checkSignature(signed, key) === "good"
    ? verdict
    : refused("bad_reauthentication", "not signed for this session and exchange by the key of the certificate");
}

// --- the octets of request and answer: version, number, chain, signature

const version = 1;
const headLength = 1 + 8 + 1;
/** More than the verifier accepts, so that the reason is its own. */
const mostCertificates = 4;
/** A chain of 16 KiB, which is the most that the verifier reads, and the rest. */
export const longestProof = 17 * 1024;

export function encodeProof({ sequence, chain, signature }: Proof): Buffer {
  return Buffer.concat([
    Uint8Array.of(version),
    number(sequence),
    Uint8Array.of(chain.length),
    ...[...chain, signature].flatMap(withLength),
  ]);
}

export type ReadProof =
  | { readonly kind: "proof"; readonly proof: Proof }
  | { readonly kind: "malformed"; readonly fault: Fault };

export function decodeProof(bytes: Buffer): ReadProof {
  if (bytes.length < headLength || bytes[0] !== version) return malformed("version");
  const sequence = bytes.readBigUInt64BE(1);
  if (sequence === 0n || sequence > BigInt(Number.MAX_SAFE_INTEGER)) return malformed("number");
  const count = bytes[headLength - 1]!;
  if (count > mostCertificates) return malformed("number of certificates");
  const pieces: Buffer[] = [];
  let at = headLength;
  while (pieces.length <= count && at + 2 <= bytes.length) {
    const end = at + 2 + bytes.readUInt16BE(at);
    if (end > bytes.length) return malformed("length");
    pieces.push(bytes.subarray(at + 2, end));
    at = end;
  }
  if (pieces.length !== count + 1 || at !== bytes.length) return malformed("length");
  const signature = pieces.pop()!;
  return { kind: "proof", proof: { sequence: Number(sequence), chain: pieces, signature } };
}

const malformed = (detail: string): ReadProof => ({
  kind: "malformed",
  fault: { reason: "bad_reauthentication", detail: `malformed: ${detail}` },
});

function number(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

function withLength(bytes: Uint8Array): readonly Uint8Array[] {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return [length, bytes];
}
