/** Facts to findings: what is good, what will be bad, what is. Pure. */
import { X509Certificate } from "node:crypto";
import { isTerminal, readSidecar } from "../../lib/kube/sidecar.ts";
import { containers } from "../../lib/kube/names.ts";
import { readPodSettings, readProjectSettings } from "../../lib/project/settings.ts";
import { version as ownVersion } from "../../lib/version.ts";
import { podRows, tagOf } from "../workloads.ts";
import type { CheckCode, Finding } from "./codes.ts";
import type { Deployment, Facts, PodFact, WebhookConfiguration } from "./facts.ts";

const oldest = [1, 33] as const;
const clockLimitMs = 30_000;
const day = 86_400_000;
const rootWarningMs = 90 * day;
const mostDetails = 10;

type Judged = Omit<Finding, "section">;

const finding = (code: CheckCode, level: Finding["level"], text: string, details: readonly string[] = []): Judged => ({
  code,
  level,
  text,
  details:
    details.length > mostDetails
      ? [...details.slice(0, mostDetails), `and ${details.length - mostDetails} more`]
      : details,
});

const inSection = (section: string, findings: readonly Judged[]): readonly Finding[] =>
  findings.map((each) => ({ section, ...each }));

/** What can be asked of a cluster before anything is installed. */
export const judgeCluster = (facts: Facts): readonly Finding[] =>
  inSection("kubernetes", [serverVersion(facts), policies(facts), rights(facts), clocks(facts)]);

export const judgeInstallation = (facts: Facts): readonly Finding[] => [
  ...inSection("control plane (tencrypt-system, tencrypt-ca)", [
    replicas("TC-CP-01", "controller", facts.controller),
    replicas("TC-CP-02", "ca", facts.ca),
    versions(facts),
    webhooks(facts),
    caBundle(facts),
    ...root(facts),
    sources(facts),
  ]),
  ...facts.projects.flatMap((project) =>
    inSection(`project ${project.metadata.name}`, judgeProject(facts, project.metadata.name)),
  ),
];

function serverVersion({ version }: Facts): Judged {
  const [, major = "0", minor = "0"] = /^v([0-9]+)\.([0-9]+)/.exec(version ?? "") ?? [];
  const isOk = Number(major) > oldest[0] || (Number(major) === oldest[0] && Number(minor) >= oldest[1]);
  return finding("TC-K8S-01", isOk ? "good" : "failed", `API server ${version} reachable`);
}

const policies = (facts: Facts): Judged =>
  facts.policies
    ? finding("TC-K8S-02", "good", "ValidatingAdmissionPolicy available")
    : finding("TC-K8S-02", "failed", "ValidatingAdmissionPolicy not available");

const rights = ({ forbidden }: Facts): Judged =>
  forbidden.length === 0
    ? finding("TC-K8S-03", "good", "you may install")
    : finding("TC-K8S-03", "warning", `you may not install: ${forbidden.length} rights are missing`, forbidden);

function clocks({ now, serverTime }: Facts): Judged {
  if (serverTime === null) return finding("TC-K8S-04", "warning", "the API server does not tell its time");
  const difference = Math.abs(now - serverTime);
  // The header has whole seconds.
  return finding(
    "TC-K8S-04",
    difference < clockLimitMs ? "good" : "failed",
    `clocks differ by ${Math.floor(difference / 1000)} s`,
  );
}

function replicas(code: CheckCode, name: string, deployment: Deployment | null): Judged {
  if (deployment === null) return finding(code, "failed", `${name} is not installed`);
  const [ready, wanted] = [deployment.status?.readyReplicas ?? 0, deployment.spec.replicas ?? 1];
  return finding(code, ready >= wanted ? "good" : "failed", `${ready}/${wanted} ${name} ready`);
}

export const versionOf = (deployment: Deployment | null): string =>
  tagOf(deployment?.spec.template.spec.containers[0]?.image ?? "") || "unknown";

function versions({ controller, ca }: Facts): Judged {
  const found = new Set([versionOf(controller), versionOf(ca)]);
  const isOne = found.size === 1 && found.has(ownVersion);
  const text = `versions: controller ${versionOf(controller)}, ca ${versionOf(ca)}, this command ${ownVersion}`;
  return finding("TC-CP-03", isOne ? "good" : "warning", text);
}

function webhooks({ mutating, validating }: Facts): Judged {
  const present = [mutating, validating].filter((each): each is WebhookConfiguration => each !== null);
  const open = present.flatMap((each) => each.webhooks ?? []).filter(({ failurePolicy }) => failurePolicy !== "Fail");
  if (present.length < 2) return finding("TC-WH-01", "failed", "a webhook configuration is missing");
  return open.length === 0
    ? finding("TC-WH-01", "good", "webhooks are there and fail closed")
    : finding(
        "TC-WH-01",
        "failed",
        "a webhook lets pods pass when the controller is away",
        open.map(({ name }) => name),
      );
}

function caBundle({ mutating, validating, rootPem }: Facts): Judged {
  const bundles = [mutating, validating]
    .flatMap((each) => each?.webhooks ?? [])
    .map(({ clientConfig }) => clientConfig.caBundle ?? "");
  const wanted = rootPem === null ? null : Buffer.from(rootPem).toString("base64");
  const isOk = wanted !== null && bundles.length > 0 && bundles.every((bundle) => bundle === wanted);
  return finding(
    "TC-WH-02",
    isOk ? "good" : "failed",
    isOk ? "the API server knows the root" : "the webhooks' caBundle is not the published root",
  );
}

function root({ rootPem, now }: Facts): readonly Judged[] {
  if (rootPem === null) return [finding("TC-CA-01", "failed", "no root is published in tencrypt-ca")];
  const end = Date.parse(new X509Certificate(rootPem).validTo);
  const left = Math.floor((end - now) / day);
  const level = end - now > rootWarningMs ? "good" : end > now ? "warning" : "failed";
  return [
    finding("TC-CA-01", "good", "root published"),
    finding("TC-CA-02", level, `root certificate ends in ${left} days`, [`not after ${new Date(end).toISOString()}`]),
  ];
}

function sources({ sourceMismatches }: Facts): Judged {
  if (sourceMismatches === null) return finding("TC-CA-03", "warning", "the ca's metrics cannot be read");
  return sourceMismatches === 0
    ? finding("TC-CA-03", "good", "callers of the ca come from their own addresses")
    : finding(
        "TC-CA-03",
        "warning",
        `${sourceMismatches} callers of the ca came from another address than their pod's`,
      );
}

function judgeProject(facts: Facts, name: string): readonly Judged[] {
  const namespace = facts.projects.find(({ metadata }) => metadata.name === name)!;
  const pods = facts.pods.filter((pod) => pod.metadata.namespace === name && !isTerminal(pod));
  const rows = podRows([namespace], pods, "project");
  const bare = rows.filter((row) => !row.protected && row.why !== "host_network");
  const protection =
    bare.length === 0
      ? finding("TC-PRJ-01", "good", `${rows.length} pods, all protected that can be`)
      : finding(
          "TC-PRJ-01",
          "failed",
          `${bare.length} of ${rows.length} pods should be protected and are not`,
          bare.map((row) => `${name}/${row.pod} (${row.workload}): ${row.why}`),
        );
  const problems = [
    ...readProjectSettings(namespace.metadata, "project").problems.map((problem) => `namespace: ${problem}`),
    ...pods.flatMap(({ metadata }) =>
      readPodSettings(metadata).problems.map((problem) => `${metadata.name}: ${problem}`),
    ),
  ];
  const annotations =
    problems.length === 0
      ? finding("TC-PRJ-02", "good", "annotations can be read")
      : finding("TC-PRJ-02", "failed", `${problems.length} annotations cannot be read`, problems);
  return [protection, annotations, rules(pods)];
}

function rules(pods: readonly PodFact[]): Judged {
  const broken = pods.filter((pod) => readSidecar(pod).kind === "sidecar" && initFailed(pod));
  return broken.length === 0
    ? finding("TC-PRJ-03", "good", "rules set and proven")
    : finding(
        "TC-PRJ-03",
        "failed",
        `${broken.length} pods have no rules`,
        broken.map(({ metadata }) => metadata.name),
      );
}

function initFailed({ status }: PodFact): boolean {
  const state = status?.initContainerStatuses?.find(({ name }) => name === containers.init)?.state;
  return (state?.terminated?.exitCode ?? 0) !== 0 || state?.waiting?.reason === "CrashLoopBackOff";
}
