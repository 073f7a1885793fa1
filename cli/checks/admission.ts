/** The webhooks and policies by which the API server keeps projects: all there, closed, and believed. Pure. */
import { admissionPolicies, webhookNames } from "../../lib/kube/names.ts";
import type { AdmissionPolicy, Facts, PolicyBinding, WebhookConfiguration } from "./facts.ts";
import { finding } from "./finding.ts";
import type { Judged } from "./finding.ts";
import type { Readable } from "./readable.ts";

/** What cannot be read is told elsewhere, and not judged. */
export const judgeAdmission = ({ mutating, validating, policies, bindings, rootPem }: Facts): readonly Judged[] => [
  ...both(mutating, validating, webhooks),
  ...(rootPem.kind === "read" ? both(mutating, validating, (...each) => caBundle(each, rootPem.value)) : []),
  ...both(policies, bindings, policiesHold),
];

const both = <A, B>(a: Readable<A>, b: Readable<B>, judge: (a: A, b: B) => Judged): readonly Judged[] =>
  a.kind === "read" && b.kind === "read" ? [judge(a.value, b.value)] : [];

type Configuration = WebhookConfiguration | null;

function webhooks(mutating: Configuration, validating: Configuration): Judged {
  const problems = [
    ...webhookProblems("MutatingWebhookConfiguration", mutating, webhookNames.mutating),
    ...webhookProblems("ValidatingWebhookConfiguration", validating, webhookNames.validating),
  ];
  return problems.length === 0
    ? finding("TC-WH-01", "good", "webhooks are there and fail closed")
    : finding("TC-WH-01", "failed", "a webhook is missing, or lets pods pass when the controller is away", problems);
}

function webhookProblems(kind: string, found: Configuration, wanted: readonly string[]): readonly string[] {
  if (found === null) return [`${kind} is not there`];
  const there = found.webhooks ?? [];
  const missing = wanted.filter((name) => !there.some((webhook) => webhook.name === name));
  const open = there.filter(({ failurePolicy }) => failurePolicy !== "Fail");
  return [
    ...missing.map((name) => `${kind}: ${name} is not there`),
    ...open.map(({ name }) => `${kind}: failurePolicy of ${name} is not Fail`),
  ];
}

function caBundle(configurations: readonly Configuration[], rootPem: string | null): Judged {
  const bundles = configurations
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

function policiesHold(policies: readonly AdmissionPolicy[], bindings: readonly PolicyBinding[]): Judged {
  const problems = admissionPolicies.flatMap((name) => {
    const policy = policies.find(({ metadata }) => metadata.name === name);
    if (policy === undefined) return [`${name} is not there`];
    const closed = policy.spec.failurePolicy === "Fail" ? [] : [`failurePolicy of ${name} is not Fail`];
    return bindings.some((binding) => holdsEverywhere(binding, name))
      ? closed
      : [...closed, `${name} has no binding that denies everywhere`];
  });
  return problems.length === 0
    ? finding("TC-WH-03", "good", "admission policies are there and refuse")
    : finding("TC-WH-03", "failed", "an admission policy is missing, or refuses nothing", problems);
}

/** The chart's bindings narrow nothing: which objects a policy is about, it says itself. */
const holdsEverywhere = ({ spec }: PolicyBinding, policy: string): boolean =>
  spec.policyName === policy && spec.matchResources === undefined && spec.validationActions?.includes("Deny") === true;
