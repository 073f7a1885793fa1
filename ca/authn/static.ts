/** Authenticates tokens of Kubernetes' form with a key set from a file: for running without a cluster. */
import type { Clock } from "../../lib/clock/clock.ts";
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";
import type { Authenticator, Caller } from "./caller.ts";
import { audienceProblem, callerOf, timeProblem } from "./claims.ts";
import { findKey, verifySignature } from "./jwks.ts";
import type { KeyFile } from "./key-file.ts";
import { readJws } from "./jws.ts";
import type { Jws } from "./jws.ts";

export type StaticSettings = { readonly issuer: string; readonly audience: string };

export function staticAuthenticator(settings: StaticSettings, file: KeyFile, clock: Clock): Authenticator {
  const prove = async (jws: Jws): Promise<Caller | Denial> => {
    const set = await file.keys();
    if (set.kind === "unusable") return denial("token_keys_unavailable", set.detail);
    const key = findKey(set, jws.keyId);
    if (key === null) return denial("token_unknown_key", "no key of that kid");
    if (jws.algorithm !== key.algorithm)
      return denial("token_bad_algorithm", `the token says ${jws.algorithm}, its key is for ${key.algorithm}`);
    if (!verifySignature(key, jws.signed, jws.signature))
      return denial("token_bad_signature", `under key ${key.id ?? "(only one)"}`);
    if (jws.claims["iss"] !== settings.issuer) return denial("token_wrong_issuer", "iss is not the configured issuer");
    return timeProblem(jws.claims, clock.now()) ?? callerOf(jws.claims);
  };
  return {
    inspect: (token) => {
      const jws = readJws(token);
      if (jws.kind === "denial") return jws;
      return audienceProblem(jws.claims, settings.audience) ?? { kind: "inspected", prove: () => prove(jws) };
    },
  };
}
