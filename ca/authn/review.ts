/**
 * From what the API server says of a token and of its pod to a caller, or to the one reason against it. The identity is
 * what TokenReview and the live pod agree on; nothing of the request takes part. Pure.
 */
import { isName } from "../../lib/identity/spiffe-id.ts";
import { control } from "../../lib/kube/names.ts";
import type { Namespace, Pod } from "../../lib/kube/objects.ts";
import { addressesOf, isTerminal, readSidecar } from "../../lib/kube/sidecar.ts";
import { isProject } from "../../lib/project/settings.ts";
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";
import type { Caller } from "./caller.ts";

/** `authentication.k8s.io/v1`, as far as it is read. */
export type TokenReview = {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly audiences?: readonly string[];
    readonly error?: string;
    readonly user?: {
      readonly username?: string;
      readonly uid?: string;
      readonly extra?: Readonly<Record<string, readonly string[]>>;
    };
  };
};

/** Whom the API server names: not yet compared with the pod. */
export type Named = {
  readonly kind: "named";
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly serviceAccountUid: string;
  readonly pod: string;
  readonly podUid: string;
  readonly node: string;
  readonly nodeUid: string;
};

const uidText = /^[A-Za-z0-9-]{1,64}$/;
const account = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/;

export function readReview({ status }: TokenReview, audience: string): Named | Denial {
  if (status?.authenticated !== true) return denial("token_refused", status?.error ?? "not authenticated");
  // A server that knows nothing of audiences answers without any: its "yes" is not about ours.
  if (status.audiences?.length !== 1 || status.audiences[0] !== audience)
    return denial("token_refused", "confirmed, but not for exactly the audience of the ca");
  return readUser(status.user ?? {});
}

type User = NonNullable<NonNullable<TokenReview["status"]>["user"]>;

function readUser({ username = "", uid = "", extra = {} }: User): Named | Denial {
  const [, namespace = "", serviceAccount = ""] = account.exec(username) ?? [];
  if (!isName(namespace) || !isName(serviceAccount))
    return denial("token_not_of_a_pod", "the user is no service account");
  const only = (name: string): string => {
    const values = extra[`authentication.kubernetes.io/${name}`] ?? [];
    return values.length === 1 ? values[0]! : "";
  };
  const named: Named = {
    kind: "named",
    namespace,
    serviceAccount,
    serviceAccountUid: uid,
    pod: only("pod-name"),
    podUid: only("pod-uid"),
    node: only("node-name"),
    nodeUid: only("node-uid"),
  };
  return isName(named.pod) && uidText.test(named.podUid) && uidText.test(named.serviceAccountUid)
    ? named
    : denial("token_not_of_a_pod", "the API server names no pod that the token is bound to");
}

/** What is asked for live beside the review: null where it does not exist. */
export type Surroundings = {
  readonly named: Named;
  readonly pod: Pod | null;
  readonly namespace: Namespace | null;
  readonly provenUntil: number;
};

/** Images of pods that may have a certificate; one without tag and digest stands for all of its versions. */
export type Rules = {
  readonly initImages: readonly string[];
  readonly proxyImages: readonly string[];
  /** Of tokens that are good here. */
  readonly audience: string;
};

/** The source address does not refuse here: whether it does is a setting, see `sourceProblem`. */
export function judge({ named, pod, namespace, provenUntil }: Surroundings, rules: Rules): Caller | Denial {
  if (pod === null || pod.metadata.uid !== named.podUid)
    return denial("pod_gone", pod === null ? "no such pod" : "its uid is another");
  if (pod.metadata.deletionTimestamp !== undefined && isTerminal(pod)) return denial("pod_gone", "it has ended");
  if (pod.spec.serviceAccountName !== named.serviceAccount)
    return denial("pod_gone", "the pod runs under another service account");
  if (namespace === null) return denial("project_not_enabled", "no such namespace");
  const role = isController(named) ? "controller" : "pod";
  const problem = role === "controller" ? null : (notEnabled(named, namespace) ?? notProtected(pod, rules));
  if (problem !== null) return problem;
  const { kind: _, ...identity } = named;
  return {
    kind: "caller",
    role,
    namespaceUid: namespace.metadata.uid,
    pod: { ...identity, node: named.node === "" ? (pod.spec.nodeName ?? "") : named.node },
    provenUntil,
  };
}

const isController = ({ namespace, serviceAccount }: Named): boolean =>
  namespace === control.controller.namespace && serviceAccount === control.controller.serviceAccount;

function notEnabled({ namespace: name }: Named, namespace: Namespace): Denial | null {
  if (name === control.ca.namespace || name === control.controller.namespace)
    return denial("project_not_enabled", "the control plane's own namespace is never a project");
  return isProject(namespace.metadata) ? null : denial("project_not_enabled", `namespace ${name} lacks the label`);
}

function notProtected(pod: Pod, { initImages, proxyImages, audience }: Rules): Denial | null {
  if (isTerminal(pod)) return denial("pod_not_protected", `the pod has ended: ${pod.status?.phase}`);
  const sidecar = readSidecar(pod, audience);
  if (sidecar.kind === "none") return denial("pod_not_protected", sidecar.why);
  const { initImage, proxyImage } = sidecar;
  // A proxy without the rules of our init holds a name and captures nothing.
  if (!isOneOf(initImages, initImage)) return denial("pod_not_protected", `its init's image is ${initImage}`);
  if (!isOneOf(proxyImages, proxyImage)) return denial("pod_not_protected", `its proxy's image is ${proxyImage}`);
  return null;
}

const isOneOf = (accepted: readonly string[], image: string): boolean =>
  accepted.includes(image) || accepted.includes(repositoryOf(image));

/** Without tag and digest: a colon before the last slash belongs to the registry's port. */
const repositoryOf = (image: string): string => image.replace(/@.*$/, "").replace(/:[^/]*$/, "");

/** Why the connection is not known to come from the pod; null if it is. */
export function sourceProblem(pod: Pod, source: string): Denial | null {
  const addresses = pod.spec.hostNetwork === true ? [] : addressesOf(pod);
  if (addresses.length === 0) return denial("pod_address_pending", "the API shows no address of the pod");
  return addresses.includes(source)
    ? null
    : denial("source_mismatch", `from ${source}, the pod has ${addresses.join(", ")}`);
}
