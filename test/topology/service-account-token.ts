/** Tokens as Kubernetes makes them for a pod, and the key set that checks them. For a cluster of tests only. */
import { generateKeyPairSync, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { PodFacts } from "./pod.ts";

export const tokenIssuer = "https://kubernetes.topology.test";
export const tokenAudience = "tencrypt-ca";

export type TokenChange = {
  readonly audience?: string;
  readonly issuer?: string;
  readonly expiresInSeconds?: number;
  readonly key?: KeyObject;
};

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

export class TokenAuthority {
  readonly #key = generateKeyPairSync("ec", { namedCurve: "P-256" });

  /** The JWKS document. */
  keySet(): string {
    return JSON.stringify({
      keys: [{ ...this.#key.publicKey.export({ format: "jwk" }), kid: "topology", alg: "ES256", use: "sig" }],
    });
  }

  token(pod: PodFacts, change: TokenChange = {}): string {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: change.issuer ?? tokenIssuer,
      aud: [change.audience ?? tokenAudience],
      sub: `system:serviceaccount:${pod.project}:${pod.serviceAccount}`,
      iat: now,
      nbf: now,
      exp: now + (change.expiresInSeconds ?? 3600),
      "kubernetes.io": {
        namespace: pod.project,
        pod: { name: pod.name, uid: pod.uid },
        serviceaccount: { name: pod.serviceAccount, uid: pod.accountUid },
      },
    };
    const signed = `${part({ alg: "ES256", typ: "JWT", kid: "topology" })}.${part(claims)}`;
    const signature = sign("sha256", Buffer.from(signed), {
      key: change.key ?? this.#key.privateKey,
      dsaEncoding: "ieee-p1363",
    });
    return `${signed}.${signature.toString("base64url")}`;
  }
}
