// A token proves one pod of one service account of one namespace, for our audience alone; every other token is refused with its reason.
import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { Authenticator, Caller } from "../../../ca/authn/caller.ts";
import { readKeySet } from "../../../ca/authn/jwks.ts";
import { KeyFile } from "../../../ca/authn/key-file.ts";
import { staticAuthenticator } from "../../../ca/authn/static.ts";
import type { Denial } from "../../../ca/denial.ts";
import type { Reason } from "../../../lib/errors/reasons.ts";
import { silent } from "../../../lib/log/log.ts";
import type { Clock } from "../../../lib/clock/clock.ts";
import { audience, claimsOf, issuer, keySet, newTokenKey, sign, tokenFolder } from "../../tokens/tokens.ts";
import type { Claims } from "../../tokens/tokens.ts";

const now = Date.parse("2026-11-24T12:00:00Z");
const clock: Clock = { now: () => now, monotonic: () => 0, after: () => ({ cancel: () => {} }) };
const key = newTokenKey("main");
const rsa = newTokenKey("rsa", "RS256");
const p384 = newTokenKey("p384", "ES384");
const workload = { project: "shop", serviceAccount: "cart", pod: "cart-1", podUid: "9f3e" };
const claims = claimsOf(workload, now);
const bound = claims["kubernetes.io"] as Claims;
const seconds = now / 1000;

function authenticatorFor(
  t: TestContext,
  keys = keySet(key, rsa, p384),
): { authenticator: Authenticator; jwksFile: string } {
  const folder = tokenFolder(key);
  t.after(() => folder.remove());
  writeFileSync(folder.jwksFile, keys);
  return {
    authenticator: staticAuthenticator({ issuer, audience }, new KeyFile(folder.jwksFile, silent), clock),
    jwksFile: folder.jwksFile,
  };
}

async function authenticate(authenticator: Authenticator, token: string): Promise<Caller | Denial> {
  const inspected = authenticator.inspect(token);
  return inspected.kind === "denial" ? inspected : inspected.prove("127.0.0.1");
}

const reasonOf = (outcome: Caller | Denial): Reason | "caller" =>
  outcome.kind === "denial" ? outcome.reason : "caller";

void test("a token of Kubernetes' form names the pod", async (t) => {
  const { authenticator } = authenticatorFor(t);
  const node = { name: "node-1", uid: "n1" };
  const outcome = await authenticate(authenticator, sign(key, { ...claims, "kubernetes.io": { ...bound, node } }));
  assert.deepEqual(outcome, {
    kind: "caller",
    role: "pod",
    namespaceUid: null,
    pod: {
      namespace: "shop",
      serviceAccount: "cart",
      serviceAccountUid: "sa-uid-of-cart",
      pod: "cart-1",
      podUid: "9f3e",
      node: "node-1",
      nodeUid: "n1",
    },
    provenUntil: now + 3_600_000,
  });
});

const accepted: Readonly<Record<string, string>> = {
  RS256: sign(rsa, claims),
  ES384: sign(p384, claims),
  "an audience as a text": sign(key, { ...claims, aud: audience }),
  "nbf and iat of 5 s ahead": sign(key, { ...claims, nbf: seconds + 5, iat: seconds + 5 }),
  "no nbf and no iat": sign(key, { ...claims, nbf: undefined, iat: undefined }),
  "a second before its end": sign(key, { ...claims, exp: seconds + 1 }),
};
for (const [what, token] of Object.entries(accepted)) {
  void test(`accepted: ${what}`, async (t) =>
    assert.equal(reasonOf(await authenticate(authenticatorFor(t).authenticator, token)), "caller"));
}

const text = JSON.stringify(claims);
const twice = (member: string): string => text.replace(/}$/, `,${member}}`);
const without = (name: string): Claims => Object.fromEntries(Object.entries(claims).filter(([each]) => each !== name));
const kubernetes = (changes: Claims): string => sign(key, { ...claims, "kubernetes.io": { ...bound, ...changes } });
const parts = sign(key, claims).split(".");
const hmac = (): string => {
  const signed = `${Buffer.from(JSON.stringify({ alg: "HS256", kid: "rsa" })).toString("base64url")}.${parts[1]!}`;
  const secret = rsa.publicKey.export({ type: "spki", format: "pem" });
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
};

const refused: Readonly<Record<string, readonly [Reason, string]>> = {
  garbage: ["token_malformed", "garbage"],
  "four parts": ["token_malformed", `${parts.join(".")}.x`],
  "an empty signature": ["token_malformed", `${parts[0]!}.${parts[1]!}.`],
  "base64 that is not canonical": [
    "token_malformed",
    `${parts[0]!}.${parts[1]!}.${parts[2]!.slice(0, -1)}${parts[2]!.endsWith("B") ? "C" : "B"}`,
  ],
  "more than 16 KiB": ["token_malformed", sign(key, { ...claims, more: "x".repeat(16_384) })],
  "claims that are no object": ["token_malformed", sign(key, "[]")],
  "claims that are no JSON": ["token_malformed", sign(key, "{")],
  "a claim said twice": ["token_malformed", sign(key, twice('"sub":"system:serviceaccount:other:admin"'))],
  "a claim said twice, once escaped": [
    "token_malformed",
    sign(key, twice('"\\u0073ub":"system:serviceaccount:other:admin"')),
  ],
  "a nested claim said twice": [
    "token_malformed",
    sign(key, text.replace('"namespace":"shop"', '"namespace":"shop","namespace":"other"')),
  ],
  "a critical header extension": [
    "token_malformed",
    sign(key, claims, { alg: "ES256", kid: "main", crit: ["b64"], b64: false }),
  ],
  "no algorithm": ["token_malformed", sign(key, claims, { kid: "main" })],
  "alg none": ["token_bad_algorithm", sign(key, claims, { alg: "none", kid: "main" })],
  "HS256 with the public key as secret": ["token_bad_algorithm", hmac()],
  "RS512 under an RSA key": ["token_bad_algorithm", sign(rsa, claims, { alg: "RS512", kid: "rsa" })],
  "ES384 under a P-256 key": ["token_bad_algorithm", sign(key, claims, { alg: "ES384", kid: "main" })],
  "a key that is not in the set": ["token_unknown_key", sign(newTokenKey("foreign"), claims)],
  "no kid, with several keys": ["token_unknown_key", sign(key, claims, { alg: "ES256" })],
  "another key under a known kid": ["token_bad_signature", sign(newTokenKey("main"), claims)],
  "claims exchanged under the signature": [
    "token_bad_signature",
    `${parts[0]!}.${Buffer.from(JSON.stringify(claimsOf({ ...workload, project: "other" }, now))).toString("base64url")}.${parts[2]!}`,
  ],
  "another issuer": ["token_wrong_issuer", sign(key, { ...claims, iss: "https://elsewhere.test" })],
  "the API server's audience": [
    "token_wrong_audience",
    sign(key, { ...claims, aud: ["https://kubernetes.default.svc"] }),
  ],
  "our audience and another": ["token_wrong_audience", sign(key, { ...claims, aud: [audience, "vault"] })],
  "our audience twice": ["token_wrong_audience", sign(key, { ...claims, aud: [audience, audience] })],
  "no audience": ["token_wrong_audience", sign(key, { ...claims, aud: [] })],
  "no aud at all": ["token_wrong_audience", sign(key, without("aud"))],
  "the moment of its end": ["token_expired", sign(key, { ...claims, exp: seconds })],
  "no exp": ["token_malformed", sign(key, without("exp"))],
  "exp as a text": ["token_malformed", sign(key, { ...claims, exp: String(seconds + 60) })],
  "nbf of 6 s ahead": ["token_not_yet_valid", sign(key, { ...claims, nbf: seconds + 6 })],
  "iat of 6 s ahead": ["token_not_yet_valid", sign(key, { ...claims, iat: seconds + 6 })],
  "nbf as a text": ["token_malformed", sign(key, { ...claims, nbf: "now" })],
  "no kubernetes.io": ["token_not_of_a_pod", sign(key, without("kubernetes.io"))],
  "no pod": ["token_not_of_a_pod", kubernetes({ pod: undefined })],
  "a pod without uid": ["token_not_of_a_pod", kubernetes({ pod: { name: "cart-1" } })],
  "a pod with an empty uid": ["token_not_of_a_pod", kubernetes({ pod: { name: "cart-1", uid: "" } })],
  "another namespace than sub's": ["token_not_of_a_pod", kubernetes({ namespace: "other" })],
  "another account than sub's": ["token_not_of_a_pod", kubernetes({ serviceaccount: { name: "admin", uid: "x" } })],
  "a namespace that leaves the folder": [
    "token_not_of_a_pod",
    sign(key, { ...claims, sub: "system:serviceaccount:../x:cart", "kubernetes.io": { ...bound, namespace: "../x" } }),
  ],
  "a namespace with a dot": [
    "token_not_of_a_pod",
    sign(key, {
      ...claims,
      sub: "system:serviceaccount:team.a:cart",
      "kubernetes.io": { ...bound, namespace: "team.a" },
    }),
  ],
  "a namespace in upper case": [
    "token_not_of_a_pod",
    sign(key, { ...claims, sub: "system:serviceaccount:SHOP:cart", "kubernetes.io": { ...bound, namespace: "SHOP" } }),
  ],
  "a node": ["token_not_of_a_pod", sign(key, { ...claims, sub: "system:node:node-1" })],
};
for (const [what, [reason, token]] of Object.entries(refused)) {
  void test(`refused: ${what}`, async (t) =>
    assert.equal(reasonOf(await authenticate(authenticatorFor(t).authenticator, token)), reason));
}

void test("a token without kid is checked with the only key of a set", async (t) => {
  const { authenticator } = authenticatorFor(t, keySet(key));
  assert.equal(reasonOf(await authenticate(authenticator, sign(key, claims, { alg: "ES256" }))), "caller");
});

void test("the key set follows its file: a new key counts at once, a bad file keeps the old, no file refuses all", async (t) => {
  const { authenticator, jwksFile } = authenticatorFor(t, keySet(key));
  const next = newTokenKey("next");
  const outcomeOf = async (pair: typeof key): Promise<string> =>
    reasonOf(await authenticate(authenticator, sign(pair, claims)));
  assert.equal(await outcomeOf(key), "caller");
  writeFileSync(jwksFile, keySet(next));
  assert.deepEqual([await outcomeOf(key), await outcomeOf(next)], ["token_unknown_key", "caller"]);
  writeFileSync(jwksFile, '{"keys":[');
  assert.equal(await outcomeOf(next), "caller");
  rmSync(jwksFile);
  assert.equal(await outcomeOf(next), "token_keys_unavailable");
  writeFileSync(jwksFile, '{"keys":[');
  assert.equal(await outcomeOf(next), "token_keys_unavailable");
  writeFileSync(jwksFile, keySet(next));
  assert.equal(await outcomeOf(next), "caller");
});

const jwk = (changes: Claims, pair = key): string =>
  JSON.stringify({ keys: [{ ...pair.publicKey.export({ format: "jwk" }), kid: "a", ...changes }] });
const unusable: Readonly<Record<string, string>> = {
  "no keys": '{"keys":[]}',
  "no JSON": "keys",
  "keys named twice": '{"keys":[],"keys":[]}',
  "a private key": JSON.stringify({ keys: [key.privateKey.export({ format: "jwk" })] }),
  "a symmetric key": '{"keys":[{"kty":"oct","k":"AAAA"}]}',
  "an algorithm that is not the key's": jwk({ alg: "RS256" }),
  RS512: jwk({ alg: "RS512" }, rsa),
  "a key for encryption": jwk({ use: "enc" }),
  "a point that is not on the curve": jwk({ x: "AAAA" }),
  secp256k1: JSON.stringify({
    keys: [generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey.export({ format: "jwk" })],
  }),
  "RSA-1024": JSON.stringify({
    keys: [generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" })],
  }),
  "one kid for two keys": keySet(key, newTokenKey("main")),
};
for (const [what, content] of Object.entries(unusable)) {
  void test(`a key set with ${what} is refused as a whole`, () => assert.equal(readKeySet(content).kind, "unusable"));
}
