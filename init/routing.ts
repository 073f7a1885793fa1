/**
 * IPv6 without rules is closed by the routing policy: the local table, which comes first for everybody, then serves
 * only what the pod sends to itself, and nothing else has a route. Applications get "network unreachable" at once, and
 * loopback goes on. Reversible, and recognised by its three priorities. A run that was killed half-way leaves some of the
 * changes: each way makes those that are missing.
 */
import type { Answer, Iptables } from "./iptables.ts";

type Failed = Extract<Answer, { kind: "failed" }>;
type Rule = { readonly priority: number; readonly what: string };

const everybody: Rule = { priority: 0, what: "lookup local" };
/**
 * `iif lo` is what the pod itself sends, and what arrives over loopback. The local table also leads multicast out of the
 * pod, which is refused before.
 */
const podAlone: readonly Rule[] = [
  { priority: 1, what: "to ff00::/8 unreachable" },
  { priority: 2, what: "iif lo lookup local" },
  { priority: 3, what: "unreachable" },
];

const stands = (policy: string, { priority, what }: Rule): boolean =>
  new RegExp(`^${priority}:\\s.*${what}`, "m").test(policy);

/** What there is to be comes before what there is not to be: without either not even loopback has a route. */
function change(iptables: Iptables, policy: string, to: { on: readonly Rule[]; off: readonly Rule[] }): Answer {
  const line = (verb: "add" | "del") => (rule: Rule) => `rule ${verb} pref ${rule.priority} ${rule.what}`;
  const lines = [
    ...to.on.filter((rule) => !stands(policy, rule)).map(line("add")),
    ...to.off.filter((rule) => stands(policy, rule)).map(line("del")),
  ];
  return lines.length === 0 ? { kind: "ok", text: "" } : iptables.changeRoutingPolicy(lines);
}

/** How it was closed, or why not. */
export function closeRouting(iptables: Iptables): "routing" | Failed {
  const policy = iptables.routingPolicy();
  if (policy.kind === "failed") return policy;
  const answer = change(iptables, policy.text, { on: podAlone, off: [everybody] });
  return answer.kind === "ok" ? "routing" : answer;
}

/** A policy that has nothing of ours, or that cannot even be read, is left alone: it was never closed. */
export function openRouting(iptables: Iptables): Answer {
  const policy = iptables.routingPolicy();
  const isOurs = policy.kind === "ok" && podAlone.some((rule) => stands(policy.text, rule));
  return isOurs ? change(iptables, policy.text, { on: [everybody], off: podAlone }) : { kind: "ok", text: "" };
}
