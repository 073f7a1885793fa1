/**
 * IPv6 without rules is closed by the routing policy: the local table, which comes first for everybody, then serves
 * only what the pod sends to itself, and nothing else has a route. Applications get "network unreachable" at once, and
 * loopback goes on. Reversible, and recognised by its two priorities.
 */
import type { Answer, Iptables } from "./iptables.ts";

/** `iif lo` is what the pod itself sends, and what arrives over loopback. */
const close: readonly string[] = [
  "rule add pref 1 iif lo lookup local",
  "rule add pref 2 unreachable",
  "rule del pref 0",
];
const open: readonly string[] = ["rule add pref 0 lookup local", "rule del pref 1", "rule del pref 2"];

const ok: Answer = { kind: "ok", text: "" };

export function closedRouting(iptables: Iptables): boolean {
  const policy = iptables.routingPolicy();
  return (
    policy.kind === "ok" && /^2:\s.*unreachable/m.test(policy.text) && /^1:\s.*iif lo lookup local/m.test(policy.text)
  );
}

/** How it was closed, or why not. */
export function closeRouting(iptables: Iptables): "routing" | Extract<Answer, { kind: "failed" }> {
  if (closedRouting(iptables)) return "routing";
  const answer = iptables.changeRoutingPolicy(close);
  return answer.kind === "ok" ? "routing" : answer;
}

export function openRouting(iptables: Iptables): Answer {
  return closedRouting(iptables) ? iptables.changeRoutingPolicy(open) : ok;
}
