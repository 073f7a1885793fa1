/** What the pods of the probe showed, as findings: on which nodes what would not work once Tencrypt is installed. Pure. */
import type { Finding } from "./codes.ts";
import { finding, inSection, notKnown } from "./finding.ts";
import type { Judged } from "./finding.ts";
import { backendNames, backendProblems, fieldOf, rulesSaid } from "./init-events.ts";
import type { ProbedPod, ProbeFacts } from "./probe-facts.ts";

export const judgeProbe = (facts: ProbeFacts): readonly Finding[] => [
  ...inSection("nodes", [starts(facts), rules(facts)]),
  ...inSection("network", [sources(facts), reached(facts)]),
];

const noRight = "look at capabilities";

const lacksRight = ({ events }: ProbedPod): boolean =>
  events.some((one) => one.event === "init_failed" && fieldOf(one, "step") === noRight);

/** Null where it got what it needs. */
const startFault = (pod: ProbedPod): string | null => (lacksRight(pod) ? "NET_ADMIN is not given" : pod.fault);

function nodesOf({ pods, unready, beyond }: ProbeFacts): string {
  const looked = new Set(pods.map(({ node }) => node)).size;
  const all = looked + unready.length + beyond;
  return all === looked ? `${looked} nodes` : `${looked} of ${all} nodes`;
}

/** A node may have two pods that say the same. */
const each = (pods: readonly ProbedPod[], problemsOf: (pod: ProbedPod) => readonly string[]): readonly string[] => [
  ...new Set(pods.flatMap((pod) => problemsOf(pod).map((problem) => `${pod.node}: ${problem}`))),
];

function starts(facts: ProbeFacts): Judged {
  const { pods, unready, beyond } = facts;
  const faults = each(pods, (pod) => {
    const fault = startFault(pod);
    return fault === null ? [] : [fault];
  });
  const text = `pods start with NET_ADMIN on ${nodesOf(facts)}`;
  if (faults.length > 0)
    return finding("TC-NODE-02", "failed", "a pod as injection makes it does not start, or not in time", faults);
  const unlooked = [
    ...unready.map((node) => `${node}: not ready, and not looked at`),
    ...(beyond === 0 ? [] : [`${beyond} more: not looked at`]),
  ];
  if (pods.length === 0) return notKnown("TC-NODE-02", "TC-K8S-05", "no node is ready: nothing was tried", unlooked);
  return unlooked.length === 0
    ? finding("TC-NODE-02", "good", text)
    : notKnown("TC-NODE-02", "TC-K8S-05", text, unlooked);
}

/** Of pods that came so far. */
const able = ({ pods }: ProbeFacts): readonly ProbedPod[] => pods.filter((pod) => startFault(pod) === null);

const nothingRan = (code: "TC-NODE-03" | "TC-NET-01" | "TC-NET-02", what: string): Judged =>
  notKnown(code, "TC-K8S-05", `${what} is not known: no pod was there to try it`);

function rules(facts: ProbeFacts): Judged {
  const what = "whether rules can be set";
  const tried = facts.pods.map((pod) => ({ pod, rules: rulesSaid(pod.events) }));
  // Whoever has no right to set rules says nothing about whether they can be set.
  const said = tried.filter(({ pod, rules: found }) => !lacksRight(pod) && found.kind !== "unsaid");
  if (said.length === 0) return nothingRan("TC-NODE-03", what);
  const failures = each(
    said.map(({ pod }) => pod),
    ({ events }) => {
      const found = rulesSaid(events);
      return found.kind === "failed" ? [found.why] : backendProblems(found);
    },
  );
  if (failures.length > 0) {
    const hasFailure = said.some((one) => one.rules.kind === "failed");
    const text = hasFailure ? "rules cannot be set and proven" : "rules cannot be set in nf_tables";
    return finding("TC-NODE-03", hasFailure ? "failed" : "warning", text, failures);
  }
  const backends = backendNames(said.map((one) => one.rules));
  const nodes = new Set(said.map(({ pod }) => pod.node)).size;
  return finding("TC-NODE-03", "good", `rules can be set and proven in ${backends} on ${nodes} nodes`);
}

/** Of one pod's calls: from where each was seen to come, where that was not the pod itself. */
function sourceProblems({ events, ips }: ProbedPod, serviceIp: string): readonly string[] {
  return events.flatMap((one) => {
    const way = fieldOf(one, "peer") === serviceIp ? "through a Service" : "by a pod";
    if (one.event === "probe_unanswered") return [`no answer ${way}: ${fieldOf(one, "why")}`];
    const source = fieldOf(one, "source");
    const isOther = one.event === "probe_seen_as" && !ips.includes(source);
    return isOther ? [`seen ${way} as ${source}, and is ${ips.join(", ")}`] : [];
  });
}

function sources(facts: ProbeFacts): Judged {
  const [server, ...callers] = facts.pods;
  const called = callers.filter(({ events }) => events.some(({ event }) => /^probe_(?:seen|un)/.test(event)));
  if (server === undefined || startFault(server) !== null || called.length === 0)
    return nothingRan("TC-NET-01", "as whom pods are seen");
  const problems = each(called, (pod) => sourceProblems(pod, facts.serviceIp));
  if (problems.length > 0) return finding("TC-NET-01", "failed", "pods are not seen at their own addresses", problems);
  const nodes = new Set(called.map(({ node }) => node)).size;
  return finding("TC-NET-01", "good", `pods of ${nodes} nodes are seen at their own addresses, through a Service too`);
}

function reached(facts: ProbeFacts): Judged {
  const pods = able(facts).filter(({ reach }) => reach !== null);
  if (pods.length === 0) return nothingRan("TC-NET-02", "whether the API server reaches pods");
  const of = (kind: "unreached" | "unknown"): readonly string[] =>
    each(pods, ({ reach }) => (reach?.kind === kind ? [reach.why] : []));
  const [unreached, unknown] = [of("unreached"), of("unknown")];
  if (unreached.length > 0) return finding("TC-NET-02", "failed", "the API server does not reach pods", unreached);
  if (unknown.length > 0)
    return notKnown("TC-NET-02", "TC-K8S-05", "whether the API server reaches pods is not known", unknown);
  return finding(
    "TC-NET-02",
    "good",
    `the API server reaches pods of ${new Set(pods.map(({ node }) => node)).size} nodes`,
  );
}
