/** From the claims of a Kubernetes service account token to a caller. Absent, extra or contradicting claims refuse. Pure. */
import { isName } from "../../lib/identity/spiffe-id.ts";
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";
import type { Caller } from "./caller.ts";
import { isTree } from "../../lib/json/tree.ts";
import type { Tree } from "../../lib/json/tree.ts";

const second = 1000;
/** For clocks of issuer and ca; the end has none. */
const startLeewayMs = 5 * second;
/** A namespace's name is an RFC 1123 label. */
const longestNamespace = 63;
const uidText = /^[A-Za-z0-9-]{1,64}$/;

/** `aud` is exactly ours: as a text, or as a list of one. */
export function audienceProblem(claims: Tree, audience: string): Denial | null {
  const { aud } = claims;
  const list: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  return list.length === 1 && list[0] === audience
    ? null
    : denial("token_wrong_audience", "aud is not exactly the audience of the ca");
}

/** NumericDate (RFC 7519): seconds, to milliseconds. */
export function numericDate(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 && value < 1e11 ? value * second : null;
}

export function timeProblem(claims: Tree, now: number): Denial | null {
  const end = numericDate(claims["exp"]);
  if (end === null) return denial("token_malformed", "exp is missing or no date");
  if (now >= end) return denial("token_expired", "exp has passed");
  for (const claim of ["nbf", "iat"] as const) {
    if (claims[claim] === undefined) continue;
    const start = numericDate(claims[claim]);
    if (start === null) return denial("token_malformed", `${claim} is no date`);
    if (start > now + startLeewayMs) return denial("token_not_yet_valid", `${claim} lies in the future`);
  }
  return null;
}

type Reference = { readonly name: string; readonly uid: string };

function reference(value: unknown): Reference | null {
  if (!isTree(value)) return null;
  const { name, uid } = value;
  if (typeof name !== "string" || typeof uid !== "string") return null;
  return isName(name) && uidText.test(uid) ? { name, uid } : null;
}

/** The claims' `kubernetes.io` must say the same as `sub`. */
export function callerOf(claims: Tree): Caller | Denial {
  const bound = claims["kubernetes.io"];
  if (!isTree(bound)) return denial("token_not_of_a_pod", "kubernetes.io is missing");
  const { namespace } = bound;
  const pod = reference(bound["pod"]);
  const account = reference(bound["serviceaccount"]);
  const node = bound["node"] === undefined ? { name: "", uid: "" } : reference(bound["node"]);
  if (
    typeof namespace !== "string" ||
    !isName(namespace) ||
    namespace.length > longestNamespace ||
    namespace.includes(".")
  ) {
    return denial("token_not_of_a_pod", "no namespace of a valid name");
  }
  if (pod === null || account === null || node === null)
    return denial("token_not_of_a_pod", "pod, service account or node lacks a valid name or uid");
  if (claims["sub"] !== `system:serviceaccount:${namespace}:${account.name}`)
    return denial("token_not_of_a_pod", "sub is not the service account of kubernetes.io");
  return {
    kind: "caller",
    role: "pod",
    namespaceUid: null,
    pod: {
      namespace,
      serviceAccount: account.name,
      serviceAccountUid: account.uid,
      pod: pod.name,
      podUid: pod.uid,
      node: node.name,
      nodeUid: node.uid,
    },
    provenUntil: numericDate(claims["exp"]) ?? 0,
  };
}
