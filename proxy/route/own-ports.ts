/**
 * Who may use the proxy's own ports that speak clear text: the application's probes and lifecycle handlers on 15021, which
 * are the kubelet's, and metrics on 15020. Pure.
 */
import { isLoopback } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import { namesAddress } from "../../lib/project/rules.ts";
import { classify, workloadAt } from "./classify.ts";
import { namesSource } from "./policy.ts";
import type { Known, LookUp, Policy, Self } from "./policy.ts";

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
  if (namesSource(view.policy, { ip: source, port }, workloadAt(view, source))) return allow;
  const unknown = lookUp === null && classify(view, source) === "unknown";
  return unknown && mayNamePod(view.policy, source, port) ? { kind: "look-up", ip: source, lastWillDo: false } : refuse;
}

/** Whether it is worth to ask which pod has the address. */
const mayNamePod = ({ allowIngress }: Policy, source: Ip, port: number): boolean =>
  allowIngress.every(({ addresses, callers }) => callers.length > 0 || namesAddress(addresses, source, port));
