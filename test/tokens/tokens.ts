/**
 * An issuer of tokens of Kubernetes' form, for tests and the demo: keys in memory, the public ones as a JSON Web Key Set.
 * `sign` signs whatever it is given, well formed or not.
 */
import { generateKeyPairSync, sign as signBytes } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type Algorithm = "ES256" | "ES384" | "RS256";

export type TokenKeyPair = {
  readonly id: string;
  readonly algorithm: Algorithm;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
};

export type Workload = {
  readonly project: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
  readonly serviceAccountUid?: string;
};

export type Claims = Record<string, unknown>;

export const issuer = "https://issuer.test";
export const audience = "tencrypt-ca";

const curves = { ES256: "prime256v1", ES384: "secp384r1" } as const;
const hashes = { ES256: "sha256", ES384: "sha384", RS256: "sha256" } as const;

export function newTokenKey(id = "key-1", algorithm: Algorithm = "ES256"): TokenKeyPair {
  const pair =
    algorithm === "RS256"
      ? generateKeyPairSync("rsa", { modulusLength: 2048 })
      : generateKeyPairSync("ec", { namedCurve: curves[algorithm] });
  return { id, algorithm, ...pair };
}

/** The public keys, as a JSON Web Key Set. */
export const keySet = (...keys: TokenKeyPair[]): string =>
  JSON.stringify({
    keys: keys.map((key) => ({
      ...key.publicKey.export({ format: "jwk" }),
      kid: key.id,
      alg: key.algorithm,
      use: "sig",
    })),
  });

/** The claims that the API server puts into a token bound to a pod; valid for an hour from `now` (milliseconds). */
export function claimsOf(workload: Workload, now: number = Date.now()): Claims {
  const { project, serviceAccount, pod, podUid, serviceAccountUid } = workload;
  const seconds = Math.floor(now / 1000);
  return {
    iss: issuer,
    sub: `system:serviceaccount:${project}:${serviceAccount}`,
    aud: [audience],
    iat: seconds,
    nbf: seconds,
    exp: seconds + 3600,
    "kubernetes.io": {
      namespace: project,
      pod: { name: pod, uid: podUid },
      serviceaccount: { name: serviceAccount, uid: serviceAccountUid ?? `sa-uid-of-${serviceAccount}` },
    },
  };
}

const encode = (part: unknown): string =>
  Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url");

/** `claims` as text stays as it is, so that a test can say a thing twice. */
export function sign(
  key: TokenKeyPair,
  claims: Claims | string,
  header: Claims = { alg: key.algorithm, kid: key.id },
): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  const signature = signBytes(hashes[key.algorithm], Buffer.from(signed), {
    key: key.privateKey,
    dsaEncoding: "ieee-p1363",
  });
  return `${signed}.${signature.toString("base64url")}`;
}

export const tokenFor = (key: TokenKeyPair, workload: Workload, now?: number): string =>
  sign(key, claimsOf(workload, now));

/** A temporary folder with `jwks.json` for this key; `remove` takes it away. */
export function tokenFolder(key: TokenKeyPair): { readonly path: string; readonly jwksFile: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "tencrypt-tokens-"));
  const jwksFile = join(path, "jwks.json");
  writeFileSync(jwksFile, keySet(key));
  return { path, jwksFile, remove: () => rmSync(path, { recursive: true, force: true }) };
}
