/**
 * Whether a pod is protected, and if not, whether that is meant: by its spec, its author's choice and its namespace. What
 * the webhook once noted on the pod plays no part: anybody who may edit the pod may write that. The one judgement of
 * controller and command line. Pure.
 */
import type { Namespace, Pod } from "../kube/objects.ts";
import { readSidecar } from "../kube/sidecar.ts";
import type { Sidecar } from "../kube/sidecar.ts";
import { isProject } from "../project/settings.ts";
import { hasOurs } from "./inject.ts";
import type { InjectReason } from "./reasons.ts";
import { isMirror, skipReason } from "./report.ts";

export type Protection =
  | { readonly kind: "protected"; readonly sidecar: Sidecar }
  /** Without a proxy, as it has to be or as its author decided. */
  | { readonly kind: "exempt"; readonly reason: InjectReason }
  /** `why` tells what of it is missing. */
  | { readonly kind: "unprotected"; readonly reason: InjectReason; readonly why: string };

export function protectionOf(pod: Pod, namespace: Namespace): Protection {
  const sidecar = readSidecar(pod);
  if (sidecar.kind === "sidecar") return { kind: "protected", sidecar };
  if (!isProject(namespace.metadata)) return { kind: "exempt", reason: "project_not_labelled" };
  const reason = skipReason(pod, namespace);
  if (reason !== null) return { kind: "exempt", reason };
  return { kind: "unprotected", reason: reasonOf(pod), why: sidecar.why };
}

function reasonOf(pod: Pod): InjectReason {
  if (isMirror(pod)) return "mirror_pod";
  return hasOurs(pod) ? "not_as_injected" : "started_before_project";
}
