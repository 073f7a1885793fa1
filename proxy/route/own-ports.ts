/**
 * Who may use the proxy's own ports that speak clear text: the application's probes and lifecycle handlers on 15021, which
 * are the kubelet's, and metrics on 15020. Pure.
 */
import { isLoopback } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import { namesAddress, namesCaller } from "../../lib/project/rules.ts";
import { classify, workloadAt } from "./classify.ts";
import type { Known, LookUp, Self } from "./policy.ts";

export type Use = { readonly kind: "allow" } | { readonly kind: "refuse" } | LookUp;

const allow: Use = { kind: "allow" };
const refuse: Use = { kind: "refuse" };

export type UseInput = Pick<Known, "view" | "lookUp"> & { readonly source: Ip; readonly self: Self };

/**
 * No pod is a kubelet, whatever the mode. A handler changes the application, so an address that the directory does not name
 * is worth a look-up for one; a probe is asked every second. Where nobody answers the caller may be the kubelet, which
 * restarts what does not answer.
 */
export function useProbe({ source, view, lookUp }: UseInput, path: string): Use {
  if (view === null) return allow;
  const kind = classify(view, source);
  if (kind === "internal" || kind === "other-project" || kind === "conflict") return refuse;
  const isUnknown = kind === "unknown" && lookUp === null && path.startsWith("/hook/");
  return isUnknown ? { kind: "look-up", ip: source, lastWillDo: true } : allow;
}

/**
 * In `strict` only the pod itself and what `allow-ingress` names, by address or, of a pod, by name. Before the first
 * snapshot the floor decides, and names nobody.
 */
export function useMetrics({ source, self, view, lookUp }: UseInput, port: number): Use {
  if (isLoopback(source) || self.ips.has(source)) return allow;
  if ((view?.policy.mode ?? self.floor) !== "strict") return allow;
  if (view === null) return refuse;
  if (namesAddress(view.policy.allowIngressAddresses, source, port)) return allow;
  const { allowIngressCallers } = view.policy;
  const workload = workloadAt(view, source);
  if (workload !== null) return namesCaller(allowIngressCallers, workload, port) ? allow : refuse;
  const unknown = lookUp === null && classify(view, source) === "unknown";
  return unknown && allowIngressCallers.length > 0 ? { kind: "look-up", ip: source, lastWillDo: false } : refuse;
}
