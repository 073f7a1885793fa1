/** A proof of re-authentication is good for one session, one exchange, one direction and one pair of certificates. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { loadBundle } from "../../../../lib/trust/bundle.ts";
import type { Expected } from "../../../../lib/x509/verify.ts";
import {
  checkProof,
  createProof,
  decodeProof,
  digestOf,
  encodeProof,
  signedBytes,
} from "../../../../proxy/session/proof.ts";
import type { Binding, Proof } from "../../../../proxy/session/proof.ts";
import { createPki, day, generateKey, hour } from "../../../pki/pki.ts";
import type { Edit, Leaf, LeafOptions } from "../../../pki/pki.ts";

const pki = createPki({
  projects: [
    { name: "shop", uid: "uid-shop" },
    { name: "bank", uid: "uid-bank" },
  ],
});
const loaded = loadBundle(pki.rawBundle());
assert.ok(loaded.kind === "bundle");
const { bundle } = loaded;
const expected: Expected = { kind: "pod", project: "shop", serviceAccount: "web", podUid: "uid-of-web-1" };
const against = { now: Date.now(), expected, bundle, maxLeafLifetimeMs: day };

const leafOf = (options: Partial<LeafOptions> = {}): Leaf =>
  pki.issueLeaf({ project: "shop", serviceAccount: "web", ...options });
const next = leafOf();
const binding: Binding = {
  role: "client",
  keyingMaterial: randomBytes(32),
  leaves: { client: randomBytes(32), server: randomBytes(32) },
  request: null,
};
const proofOf = (leaf: Leaf, under: Binding = binding, sequence = 1): Proof =>
  createProof(under, { sequence, chain: leaf.chain, key: leaf.key.privateKey });

const offTheCurve: Edit = (parts) => ({
  ...parts,
  spki: parts.spki.map((octet, at) => (at === 90 ? octet ^ 1 : octet)),
});

/** `peer`, or the reason of the refusal. */
function outcome(proof: Proof, under: Binding = binding): string {
  const verdict = checkProof(proof, under, against);
  return verdict.kind === "peer" ? "peer" : verdict.reason;
}

test("a new certificate of the same pod, signed for this session and exchange, is good", () => {
  const verdict = checkProof(proofOf(next), binding, against);
  assert.ok(verdict.kind === "peer");
  assert.equal(verdict.pod?.podUid, "uid-of-web-1");
});

test("so it is with a key on Ed25519", () => {
  assert.equal(outcome(proofOf(leafOf({ keyType: "ed25519" }))), "peer");
});

describe("signed for anything else, it is nothing", () => {
  const other = randomBytes(32);
  const moved: Readonly<Record<string, Partial<Binding>>> = {
    "another session": { keyingMaterial: other },
    "the other direction": { role: "server" },
    "another certificate of the client so far": { leaves: { ...binding.leaves, client: other } },
    "another certificate of the server so far": { leaves: { ...binding.leaves, server: other } },
    "the two certificates the other way round": {
      leaves: { client: binding.leaves.server, server: binding.leaves.client },
    },
    "an answer": { request: other },
  };
  for (const [what, change] of Object.entries(moved)) {
    test(what, () => {
      assert.equal(outcome(proofOf(next, { ...binding, ...change })), "bad_reauthentication");
      assert.equal(outcome(proofOf(next), { ...binding, ...change }), "bad_reauthentication");
    });
  }

  test("an answer to another request", () => {
    const answer = { ...binding, role: "server", request: randomBytes(32) } as const;
    assert.equal(outcome(proofOf(next, answer), answer), "peer");
    assert.equal(outcome(proofOf(next, answer), { ...answer, request: other }), "bad_reauthentication");
  });

  test("another exchange", () => {
    assert.equal(outcome({ ...proofOf(next), sequence: 2 }), "bad_reauthentication");
  });

  test("another certificate of the same key", () => {
    const twin = leafOf({ key: next.key });
    assert.equal(outcome({ ...proofOf(next), chain: twin.chain }), "bad_reauthentication");
  });
});

describe("a chain that a handshake would refuse is refused", () => {
  const chains: Readonly<Record<string, readonly [Leaf, reason: string]>> = {
    "of another pod": [leafOf({ podUid: "uid-of-web-2" }), "wrong_pod"],
    "of another account": [leafOf({ serviceAccount: "admin", podUid: "uid-of-web-1" }), "identity_mismatch"],
    "of another project": [leafOf({ project: "bank" }), "identity_mismatch"],
    "of another project's CA": [leafOf({ issuer: pki.project("bank") }), "wrong_issuer"],
    "of a namespace that is gone": [leafOf({ namespaceUid: "uid-earlier" }), "wrong_namespace_uid"],
    "that has ended": [leafOf({ notBefore: Date.now() - 2 * hour, notAfter: Date.now() - hour }), "expired"],
    "with a forged signature": [leafOf({ signer: generateKey("p256") }), "bad_signature"],
    "with an RSA key": [leafOf({ keyType: "rsa" }), "bad_key"],
    "with a point that is not on its curve": [leafOf({ edit: offTheCurve }), "bad_key"],
  };
  for (const [what, [leaf, reason]] of Object.entries(chains))
    test(what, () => assert.equal(outcome(proofOf(leaf)), reason));

  test("without its CA", () => {
    assert.equal(outcome({ ...proofOf(next), chain: [next.der] }), "chain_too_long");
  });
});

test("somebody else's key does not prove a certificate", () => {
  const thief = createProof(binding, { sequence: 1, chain: next.chain, key: generateKey("p256").privateKey });
  assert.equal(outcome(thief), "bad_reauthentication");
});

test("a signature of a TLS handshake is no proof, and no proof is one of those", () => {
  const text = signedBytes(binding, { sequence: 1, chain: next.chain }).toString("latin1");
  assert.equal(text.startsWith(`${" ".repeat(64)}Tencrypt re-authentication, client\0`), true);
});

describe("octets", () => {
  const proof = proofOf(next);
  const bytes = encodeProof(proof);

  test("are read as they were written", () => {
    const read = decodeProof(bytes);
    assert.ok(read.kind === "proof");
    assert.deepEqual(read.proof.chain.map(digestOf), proof.chain.map(digestOf));
    assert.equal(read.proof.sequence, 1);
    assert.equal(outcome(read.proof), "peer");
  });

  test("that are cut off anywhere, or go on, are malformed", () => {
    for (let length = 0; length < bytes.length; length++)
      assert.equal(decodeProof(bytes.subarray(0, length)).kind, "malformed", `${length} octets`);
    assert.equal(decodeProof(Buffer.concat([bytes, Buffer.alloc(1)])).kind, "malformed");
  });

  const forms: Readonly<Record<string, Buffer>> = {
    "another version": Buffer.concat([Buffer.from([2]), bytes.subarray(1)]),
    "number 0": encodeProof({ ...proof, sequence: 0 }),
    "a number that JavaScript cannot hold": Buffer.concat([
      bytes.subarray(0, 1),
      Buffer.alloc(8, 0xff),
      bytes.subarray(9),
    ]),
    "too many certificates": encodeProof({ ...proof, chain: Array.from({ length: 5 }, () => next.der) }),
  };
  for (const [what, octets] of Object.entries(forms))
    test(`${what} is malformed`, () => assert.equal(decodeProof(octets).kind, "malformed"));

  test("with one bit turned are never accepted", () => {
    for (let at = 0; at < bytes.length; at++) {
      const bent = Buffer.from(bytes);
      bent[at]! ^= 1 << (at % 8);
      const read = decodeProof(bent);
      if (read.kind === "proof") assert.notEqual(outcome(read.proof), "peer", `octet ${at}`);
    }
  });
});
