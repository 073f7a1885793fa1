/**
 * Whether a connection that is open may stay so under the rules of now. What it would be refused for if it came now, it
 * is ended for; what its certificate has answered for is not asked of its address again. Pure.
 */
import type { ClearDecision } from "./authorize.ts";
import type { FirstBytes } from "./first-bytes.ts";
import type { Decided, Policy, Verdict } from "./policy.ts";
import type { Route } from "./route.ts";

/** To a pod of that project, through the tunnel. */
export function judgeTunnel({ internalProjects }: Policy, project: string): Verdict {
  return internalProjects.has(project) ? null : { reason: "identity_mismatch", detail: project };
}

/** In clear to where `now` is the route; `spoken` is whether its first bytes were a TLS ClientHello. */
export function judgeOutboundClear(now: Decided<Route>, spoken: FirstBytes): Verdict {
  switch (now.kind) {
    case "clear":
    case "local":
      return null;
    case "clear-if-tls":
      return spoken === "yes"
        ? null
        : { reason: "egress_not_allowed", detail: "the first bytes were no TLS ClientHello" };
    case "tunnel":
      return { reason: "plaintext_refused", detail: "the tunnel leads there now" };
    case "refuse":
      return now;
  }
}

/**
 * Just dialled in clear, where `now` is the route by what is known already. SYNs are sent again for as long as a dial
 * waits, and meanwhile the address may have become that of a pod which must not be reached so.
 */
export function judgeDialledClear(now: Route): Verdict {
  // Who holds an unknown address was asked before the dial, and what a rule wants of the first bytes was seen.
  return now.kind === "look-up" ? null : judgeOutboundClear(now, "yes");
}

/** In clear from where `now` is the decision. */
export function judgeInboundClear(now: Decided<ClearDecision>): Verdict {
  switch (now.kind) {
    case "allow":
      return null;
    case "refuse":
      return now;
  }
}
