/**
 * Brings the pod's rules to what is wanted, in an order in which every failure leaves the pod closed:
 * guard, IPv4, IPv6, read back, proof, guard away. A failure leaves the guard and says at which step.
 *
 * IPv4 has to work. IPv6 that cannot be redirected is made unreachable instead, and said so: first by rules that
 * refuse, then by the routing policy. If neither works, it is an error as soon as the pod has an IPv6 address that is
 * meant for others; where it has a link-local one alone, its guard stays, and without a guard that is an error too.
 */
import type { Log } from "../lib/log/log.ts";
import type { Config } from "./config.ts";
import type { Answer, Backend, Iptables } from "./iptables.ts";
import { guardRemovalText, guardText, installText, removal } from "./plan.ts";
import type { Proof } from "./prove.ts";
import { closeRouting, openRouting } from "./routing.ts";
import { refusingRuleset, ruleset } from "./ruleset.ts";
import type { Family, Ruleset } from "./ruleset.ts";
import { differences, holdsOwn, parseSaved } from "./saved.ts";
import type { Saved } from "./saved.ts";

export type Outcome =
  | { readonly kind: "done" }
  /** `not_possible`: there is nothing here to write rules with. */
  | { readonly kind: "not_possible" | "failed"; readonly step: string; readonly why: string };

type Failure = Exclude<Outcome, { kind: "done" }>;

export type Pod = {
  readonly iptables: Iptables;
  readonly log: Log;
  /** Whether others can reach the pod by an address of the family. */
  isReachable(family: Family): boolean;
  /** Whether neighbours can: by a link-local address too. */
  hasNeighbours(family: Family): boolean;
  prove(family: Family): Promise<Proof>;
};

const failed = (step: string, answer: Extract<Answer, { kind: "failed" }>): Failure => ({
  kind: "failed",
  step,
  why: `${answer.command}: ${answer.why}`,
});

export async function install(config: Config, pod: Pod): Promise<Outcome> {
  const guarded = guardV4(config, pod);
  if ("kind" in guarded) return guarded;
  const { backend, saved } = guarded;
  const v6Guard = setGuard(pod.iptables, backend, "v6");
  const v4 = setRules(pod.iptables, { backend, family: "v4", saved, wanted: ruleset(config, "v4") });
  if (v4 !== null) return v4;
  pod.log("info", "rules_set", { family: "v4", backend });
  const v6 = installV6(config, pod, { backend, guard: v6Guard });
  if (v6.kind === "failed") return v6;
  const strays = sweepOthers(pod.iptables, backend);
  if (strays !== null) return strays;
  const disproof = await proveFamilies(pod, v6.kind === "rules" ? ["v4", "v6"] : ["v4"]);
  if (disproof !== null) return disproof;
  const isGuardDone = "text" in v6Guard && v6.kind !== "guarded";
  return removeGuards(pod.iptables, backend, isGuardDone ? ["v6", "v4"] : ["v4"]);
}

type Guarded = { readonly backend: Backend; readonly saved: Saved };

/**
 * The first backend that can set the guard is the one that is used for everything. Where none can, the preferred one's
 * reason counts: the other may merely lack what it needs in this container.
 */
function guardV4(config: Config, { iptables, log }: Pod): Guarded | Failure {
  const wanted = iptables.backends().filter((backend) => config.backend === "auto" || backend === config.backend);
  let failure: Failure | null = null;
  for (const backend of wanted) {
    const guard = setGuard(iptables, backend, "v4");
    if ("text" in guard) return { backend, saved: guard.saved };
    failure ??= guard;
    log("warn", "backend_unusable", { backend, why: guard.why });
  }
  const absent = config.backend === "auto" ? "iptables-restore" : `iptables-${config.backend}-restore`;
  return failure ?? { kind: "not_possible", step: "find iptables", why: `no ${absent} on the PATH` };
}

type Guard = { readonly text: string; readonly saved: Saved } | Failure;

/** `saved` is the state before. */
function setGuard(iptables: Iptables, backend: Backend, family: Family): Guard {
  const before = iptables.save(backend, family);
  if (before.kind === "failed") return failed(`read the ${family} rules`, before);
  const saved = parseSaved(before.text);
  const text = guardText(saved, family);
  const set = iptables.restore(backend, family, text, "keep");
  return set.kind === "failed" ? failed(`set the ${family} guard`, set) : { text, saved };
}

type Change = { readonly backend: Backend; readonly family: Family; readonly saved: Saved; readonly wanted: Ruleset };

/**
 * Applies, reads back. Null if the rules are as they were meant. No `--test` before: the guard stands, a table changes as
 * a whole or not at all, and the kernel makes each table that is tested wait as long as one that is set (8 to 20 ms).
 */
function setRules(iptables: Iptables, { backend, family, saved, wanted }: Change): Failure | null {
  const set = iptables.restore(backend, family, installText(saved, wanted), "keep");
  if (set.kind === "failed") return failed(`set the ${family} rules`, set);
  const after = iptables.save(backend, family);
  if (after.kind === "failed") return failed(`read the ${family} rules back`, after);
  const wrong = differences(parseSaved(after.text), wanted);
  return wrong.length === 0 ? null : { kind: "failed", step: `read the ${family} rules back`, why: wrong.join("; ") };
}

/** `guarded`: all that keeps it closed. */
type V6 = { readonly kind: "rules" | "unreachable" | "guarded" | "open" } | (Failure & { readonly kind: "failed" });

function installV6(config: Config, pod: Pod, { backend, guard }: { backend: Backend; guard: Guard }): V6 {
  const { iptables, log } = pod;
  const first =
    "text" in guard
      ? setRules(iptables, { backend, family: "v6", saved: guard.saved, wanted: ruleset(config, "v6") })
      : guard;
  if (first === null) {
    const opened = openRouting(iptables);
    if (opened.kind === "failed") return { ...failed("open the IPv6 routing policy", opened), kind: "failed" };
    log("info", "rules_set", { family: "v6", backend });
    return { kind: "rules" };
  }
  log("warn", "ipv6_not_redirected", { step: first.step, why: first.why });
  const by = "text" in guard && refuseV6(iptables, backend) ? "rules" : closeRouting(iptables);
  if (typeof by === "string") {
    log("warn", "ipv6_unreachable", { by });
    return { kind: "unreachable" };
  }
  return leftV6(pod, "text" in guard, `${first.why}; ${by.command}: ${by.why}`);
}

/** Neither rules nor the routing policy. */
function leftV6(pod: Pod, hasGuard: boolean, why: string): V6 {
  if (pod.isReachable("v6") || (pod.hasNeighbours("v6") && !hasGuard))
    return { kind: "failed", step: "make IPv6 unreachable", why };
  if (hasGuard) {
    pod.log("warn", "ipv6_unreachable", { by: "guard", why });
    return { kind: "guarded" };
  }
  pod.log("warn", "ipv6_open", { why: "no rules and no routing policy, but no address beside loopback either" });
  return { kind: "open" };
}

function refuseV6(iptables: Iptables, backend: Backend): boolean {
  const now = iptables.save(backend, "v6");
  if (now.kind === "failed") return false;
  const saved = parseSaved(now.text);
  return setRules(iptables, { backend, family: "v6", saved, wanted: refusingRuleset("v6") }) === null;
}

async function proveFamilies(pod: Pod, families: readonly Family[]): Promise<Failure | null> {
  for (const family of families.filter((each) => pod.isReachable(each))) {
    const proof = await pod.prove(family);
    if (proof.kind === "disproven") {
      return { kind: "failed", step: `prove the ${family} redirect`, why: `${proof.destination}: ${proof.why}` };
    }
    pod.log("info", "redirect_proven", { family, ...proof });
  }
  return null;
}

function removeGuards(iptables: Iptables, backend: Backend, families: readonly Family[]): Outcome {
  for (const family of families) {
    const removed = iptables.restore(backend, family, guardRemovalText(family), "keep");
    if (removed.kind === "failed") return failed(`remove the ${family} guard`, removed);
  }
  return { kind: "done" };
}

const families: readonly Family[] = ["v4", "v6"];

/** An earlier run with another backend may have left rules of ours there: both would apply. */
function sweepOthers(iptables: Iptables, used: Backend): Failure | null {
  for (const backend of iptables.backends().filter((each) => each !== used)) {
    const failure = removeFrom(iptables, backend);
    if (failure !== null) return failure;
  }
  return null;
}

/** Takes away everything of ours, in every backend, and looks that nothing is left. */
export function remove({ iptables, log }: Pick<Pod, "iptables" | "log">): Outcome {
  const backends = iptables.backends();
  if (backends.length === 0)
    return { kind: "not_possible", step: "find iptables", why: "no iptables-restore on the PATH" };
  for (const backend of backends) {
    const failure = removeFrom(iptables, backend);
    if (failure !== null) return failure;
    log("info", "rules_removed", { backend });
  }
  const routing = openRouting(iptables);
  return routing.kind === "failed" ? failed("open the IPv6 routing policy", routing) : { kind: "done" };
}

function removeFrom(iptables: Iptables, backend: Backend): Failure | null {
  for (const family of families.filter((each) => iptables.inUse(backend, each))) {
    const now = iptables.save(backend, family);
    if (now.kind === "failed" && canHold(iptables, backend, family)) return failed(`read the ${family} rules`, now);
    if (now.kind === "failed") continue;
    const failure = holdsOwn(parseSaved(now.text)) ? removeRules(iptables, backend, family, now.text) : null;
    if (failure !== null) return failure;
  }
  return null;
}

/** A backend that the kernel does not have takes no rules, so none of ours can be in it. */
const canHold = (iptables: Iptables, backend: Backend, family: Family): boolean =>
  backend === "legacy" || iptables.restore(backend, family, "*filter\nCOMMIT\n", "test").kind === "ok";

function removeRules(iptables: Iptables, backend: Backend, family: Family, savedText: string): Failure | null {
  const { text, tables } = removal(parseSaved(savedText));
  const removed = iptables.restore(backend, family, text, "keep");
  if (removed.kind === "failed") return failed(`remove the ${family} rules`, removed);
  const emptied = tables === "" ? removed : iptables.restore(backend, family, tables, "replace");
  if (emptied.kind === "failed") return failed(`remove the ${family} tables`, emptied);
  const after = iptables.save(backend, family);
  if (after.kind === "failed") return failed(`read the ${family} rules back`, after);
  if (!holdsOwn(parseSaved(after.text))) return null;
  return { kind: "failed", step: `read the ${family} rules back`, why: "some of our rules are still there" };
}
