/** Facts to findings: what is good, what will be bad, what is. Pure. */
import type { Namespace } from "../../lib/kube/objects.ts";
import { isProject } from "../../lib/project/settings.ts";
import { version as ownVersion } from "../../lib/version.ts";
import { judgeAdmission } from "./admission.ts";
import { judgeAuthorities } from "./authorities.ts";
import type { Finding } from "./codes.ts";
import { versionOf } from "./deployed.ts";
import type { ClusterFacts, Deployment, Facts, InitLogs, PodFact } from "./facts.ts";
import { finding, inSection, notKnown } from "./finding.ts";
import type { Judged } from "./finding.ts";
import { judgeNodes } from "./nodes.ts";
import { judgeProject } from "./project.ts";
import type { Comparison } from "./project.ts";
import type { Readable, Unreadable } from "./readable.ts";
import { judgeRollout } from "./rollout.ts";
import { judgeRoot } from "./root.ts";
import { judgeTrial } from "./trial.ts";

const oldest = [1, 33] as const;
const clockLimitMs = 30_000;

/** What can be asked of a cluster before anything is installed; `pre`: because somebody is about to install. */
export const judgeCluster = (facts: ClusterFacts, pre = false): readonly Finding[] =>
  inSection("kubernetes", [serverVersion(facts), policies(facts), rights(facts, pre), clocks(facts)]);

/** What somebody who sees one project alone can ask. */
export function judgeOne(
  project: Namespace,
  pods: readonly PodFact[],
  by: Comparison & { readonly inits: InitLogs },
): readonly Finding[] {
  const { rootPem, inits } = by;
  return inSection(`project ${project.metadata.name}`, [
    ...judgeProject(project, pods, by),
    ...judgeNodes(inits),
    ...(rootPem.kind === "read"
      ? []
      : [notKnown("TC-PRJ-04", "TC-K8S-05", "the published root cannot be read, and was not compared", [rootPem.why])]),
  ]);
}

export const judgeInstallation = (facts: Facts): readonly Finding[] => [
  ...inSection("control plane (tencrypt-system, tencrypt-ca)", [
    seen(facts),
    ...installFirst(facts, controlPlane(facts)),
  ]),
  ...inSection("nodes", judgeNodes(facts.inits)),
  ...known(facts.projects, (projects) => known(facts.pods, (pods) => judgeProjects(facts, projects, pods)))
    .flat()
    .flat(),
];

const controlPlane = (facts: Facts): readonly Judged[] => [
  ...known(facts.controller, (deployment) => judgeRollout("TC-CP-01", "controller", deployment, timeOf(facts))),
  ...known(facts.ca, (deployment) => judgeRollout("TC-CP-02", "ca", deployment, timeOf(facts))),
  ...known(facts.controller, (controller) => known(facts.ca, (ca) => versions(controller, ca))).flat(),
  ...judgeAdmission(facts),
  ...judgeTrial(facts.trial),
  ...known(facts.rootPem, (rootPem) => judgeRoot(rootPem, facts)).flat(),
  ...authoritiesOf(facts),
  sources(facts),
];

const isAbsent = (fact: Readable<unknown>): boolean => fact.kind === "read" && fact.value === null;

/** Where nothing is installed, there is nothing to mend. */
const installFirst = ({ controller, ca }: Facts, found: readonly Judged[]): readonly Judged[] =>
  isAbsent(controller) && isAbsent(ca)
    ? found.map((each) => (each.level === "good" ? each : { ...each, next: "tencrypt install" }))
    : found;

const judgeProjects = (facts: Facts, projects: readonly Namespace[], pods: readonly PodFact[]): readonly Finding[] => {
  const by = { rootPem: facts.rootPem, now: timeOf(facts) };
  return projects.flatMap((project) => inSection(`project ${project.metadata.name}`, judgeProject(project, pods, by)));
};

/** By the API server's clock, which wrote the times of its objects. */
const timeOf = ({ now, serverTime }: Facts): number => serverTime ?? now;

/** Before the ca has a root it has none of them. */
function authoritiesOf({ authorities, rootPem, projects, pods, now }: Facts): readonly Judged[] {
  if (authorities.kind !== "read" || projects.kind !== "read" || pods.kind !== "read") return [];
  if (rootPem.kind === "read" && rootPem.value === null) return [];
  const enabled = projects.value.filter(({ metadata }) => isProject(metadata));
  return [judgeAuthorities(authorities.value, now, { projects: enabled, pods: pods.value })];
}

/** Nothing is said of what could not be read, but for that. */
const known = <T, R>(fact: Readable<T>, judge: (value: T) => R): readonly R[] =>
  fact.kind === "read" ? [judge(fact.value)] : [];

function seen(facts: Facts): Judged {
  const unread = Object.values(facts).filter(
    (fact): fact is Unreadable =>
      typeof fact === "object" && fact !== null && "kind" in fact && fact.kind === "unreadable",
  );
  return unread.length === 0
    ? finding("TC-K8S-05", "good", "all that is looked at can be read")
    : finding(
        "TC-K8S-05",
        "failed",
        `${unread.length} things cannot be read, and nothing is known of them`,
        unread.map(({ what, why }) => `${what}: ${why}`),
      );
}

function serverVersion({ version }: ClusterFacts): Judged {
  const [, major = "0", minor = "0"] = /^v([0-9]+)\.([0-9]+)/.exec(version ?? "") ?? [];
  const isOk = Number(major) > oldest[0] || (Number(major) === oldest[0] && Number(minor) >= oldest[1]);
  return finding("TC-K8S-01", isOk ? "good" : "failed", `API server ${version} reachable`);
}

const policies = (facts: ClusterFacts): Judged =>
  facts.knowsPolicies
    ? finding("TC-K8S-02", "good", "ValidatingAdmissionPolicy available")
    : finding("TC-K8S-02", "failed", "ValidatingAdmissionPolicy not available");

const rights = ({ forbidden }: ClusterFacts, pre: boolean): Judged =>
  forbidden.length === 0
    ? finding("TC-K8S-03", "good", "you may install")
    : finding(
        "TC-K8S-03",
        pre ? "failed" : "warning",
        `you may not install: ${forbidden.length} rights are missing`,
        forbidden,
      );

function clocks({ now, serverTime }: ClusterFacts): Judged {
  if (serverTime === null) return finding("TC-K8S-04", "warning", "the API server does not tell its time");
  const difference = Math.abs(now - serverTime);
  // The header has whole seconds.
  return finding(
    "TC-K8S-04",
    difference < clockLimitMs ? "good" : "failed",
    `clocks differ by ${Math.floor(difference / 1000)} s`,
  );
}

function versions(controller: Deployment | null, ca: Deployment | null): Judged {
  const found = new Set([versionOf(controller), versionOf(ca)]);
  const isOne = found.size === 1 && found.has(ownVersion);
  const text = `versions: controller ${versionOf(controller)}, ca ${versionOf(ca)}, this command ${ownVersion}`;
  return finding("TC-CP-03", isOne ? "good" : "warning", text);
}

function sources({ sourceMismatches, metricsFault }: Facts): Judged {
  if (sourceMismatches !== null && sourceMismatches > 0)
    return finding(
      "TC-CA-03",
      "warning",
      `${sourceMismatches} callers of the ca came from another address than their pod's`,
    );
  if (sourceMismatches === 0 && metricsFault === null)
    return finding("TC-CA-03", "good", "callers of the ca come from their own addresses");
  const details = metricsFault === null ? [] : [metricsFault];
  return notKnown("TC-CA-03", "TC-K8S-05", "the ca's metrics cannot be read", details);
}
