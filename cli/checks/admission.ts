/** The webhooks and policies by which the API server keeps projects: all there, closed, whole, and believed. Pure. */
import { admissionPolicies, webhookNames } from "../../lib/kube/names.ts";
import { version as ownVersion } from "../../lib/version.ts";
import { modesOf, otherFields, policyShape, webhookShape } from "./admission-shape.ts";
import type { Shape } from "./admission-shape.ts";
import { chartShapes } from "./admission-table.ts";
import type { AdmissionPolicy, Facts, PolicyBinding, WebhookConfiguration } from "./facts.ts";
import { isOfOwnVersion, settingOf, versionLabel } from "./deployed.ts";
import { finding, notKnown } from "./finding.ts";
import type { Judged } from "./finding.ts";
import type { Readable } from "./readable.ts";

/** What cannot be read is told elsewhere, and not judged. */
export const judgeAdmission = (facts: Facts): readonly Judged[] => {
  const { mutating, validating, policies, bindings, rootPem, controller } = facts;
  const isOwn = controller.kind === "read" && isOfOwnVersion(controller.value);
  return [
    ...both(mutating, validating, (...each) => webhooks(...each, isOwn)),
    ...(rootPem.kind === "read" ? both(mutating, validating, (...each) => caBundle(each, rootPem.value)) : []),
    ...both(policies, bindings, (...each) => policiesHold(...each, { mode: modeOf(facts), isOwn })),
  ];
};

const both = <A, B>(a: Readable<A>, b: Readable<B>, judge: (a: A, b: B) => Judged): readonly Judged[] =>
  a.kind === "read" && b.kind === "read" ? [judge(a.value, b.value)] : [];

/** The mode that the controller takes for the installation's; null where it cannot be known. */
const modeOf = ({ controller }: Facts): string | null =>
  controller.kind === "read" ? (settingOf(controller.value, "TENCRYPT_MODE") ?? null) : null;

type Configuration = WebhookConfiguration | null;

/** By which chart an object was made, as it says; what another version's chart writes is not known here. */
const chartOf = ({ metadata }: Pick<AdmissionPolicy, "metadata">): string =>
  metadata.labels?.[versionLabel] ?? "unknown";

/**
 * Where the controller is of this version, all of its chart is: the label is not believed, which whoever empties a webhook
 * can change too.
 */
const relabeled = (object: Pick<AdmissionPolicy, "metadata">, isOwn: boolean): readonly string[] =>
  isOwn && chartOf(object) !== ownVersion
    ? [`label ${versionLabel} is ${chartOf(object)}, and the controller is of ${ownVersion}`]
    : [];

const notCompared = (objects: readonly Pick<AdmissionPolicy, "metadata">[]): readonly string[] => [
  ...new Set(objects.map(chartOf).filter((chart) => chart !== ownVersion)),
];

function webhooks(mutating: Configuration, validating: Configuration, isOwn: boolean): Judged {
  const problems = [
    ...webhookProblems("MutatingWebhookConfiguration", mutating, isOwn),
    ...webhookProblems("ValidatingWebhookConfiguration", validating, isOwn),
  ];
  if (problems.length > 0)
    return finding("TC-WH-01", "failed", "a webhook is missing, or lets pods pass that it should see", problems);
  const others = notCompared([mutating, validating].filter((each) => each !== null));
  return others.length === 0
    ? finding("TC-WH-01", "good", "webhooks are there, concern every project and fail closed")
    : notKnown("TC-WH-01", "TC-CP-03", "webhooks fail closed; whom they concern was not compared", others.map(ofChart));
}

const ofChart = (chart: string): string => `made by the chart of version ${chart}, and this command is ${ownVersion}`;

type Kind = `${"Mutating" | "Validating"}WebhookConfiguration`;

function webhookProblems(kind: Kind, found: Configuration, isOwn: boolean): readonly string[] {
  if (found === null) return [`${kind} is not there`];
  const there = found.webhooks ?? [];
  const wanted: readonly string[] = webhookNames[kind === "MutatingWebhookConfiguration" ? "mutating" : "validating"];
  const missing = wanted.filter((name) => !there.some((webhook) => webhook.name === name));
  const open = there.filter(({ failurePolicy }) => failurePolicy !== "Fail");
  const others = isOwn || chartOf(found) === ownVersion ? there.filter(({ name }) => wanted.includes(name)) : [];
  return [
    ...relabeled(found, isOwn).map((each) => `${kind}: ${each}`),
    ...missing.map((name) => `${kind}: ${name} is not there`),
    ...open.map(({ name }) => `${kind}: failurePolicy of ${name} is not Fail`),
    ...others.flatMap((webhook) => changed(webhook.name, webhookShape(webhook)).map((each) => `${kind}: ${each}`)),
  ];
}

/** What the installed object has that the chart does not render so. */
const changed = (name: string, shape: Shape): readonly string[] =>
  otherFields(shape, chartShapes[name] ?? {}).map((field) => `${field} of ${name}: not as in the chart`);

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

type Installed = { readonly mode: string | null; readonly isOwn: boolean };

function policiesHold(
  policies: readonly AdmissionPolicy[],
  bindings: readonly PolicyBinding[],
  installed: Installed,
): Judged {
  const there = policies.filter(({ metadata }) => names.includes(metadata.name));
  const problems = names.flatMap((name) => {
    const policy = there.find(({ metadata }) => metadata.name === name);
    const unbound = bindings.some((binding) => holdsEverywhere(binding, name))
      ? []
      : [`${name} has no binding that denies everywhere`];
    return policy === undefined ? [`${name} is not there`] : [...policyProblems(policy, installed), ...unbound];
  });
  if (problems.length > 0)
    return finding("TC-WH-03", "failed", "an admission policy is missing, or refuses less than it should", problems);
  const others = notCompared(there);
  return others.length === 0
    ? finding("TC-WH-03", "good", "admission policies are there and refuse")
    : notKnown(
        "TC-WH-03",
        "TC-CP-03",
        "admission policies fail closed; what they refuse was not compared",
        others.map(ofChart),
      );
}

const names: readonly string[] = admissionPolicies;

function policyProblems(policy: AdmissionPolicy, { mode, isOwn }: Installed): readonly string[] {
  const { metadata, spec } = policy;
  const { name } = metadata;
  const closed = spec.failurePolicy === "Fail" ? [] : [`failurePolicy of ${name} is not Fail`];
  if (!isOwn && chartOf(policy) !== ownVersion) return closed;
  const modes = mode === null ? [] : modesOf(spec).filter((each) => each !== mode);
  return [
    ...closed,
    ...relabeled(policy, isOwn).map((each) => `${name}: ${each}`),
    ...changed(name, policyShape(spec)),
    ...modes.map((each) => `${name} takes ${each} for the mode of the installation, which is ${mode}`),
  ];
}

/** The chart's bindings narrow nothing: which objects a policy is about, it says itself. */
const holdsEverywhere = ({ spec }: PolicyBinding, policy: string): boolean =>
  spec.policyName === policy &&
  spec.matchResources === undefined &&
  spec.paramRef === undefined &&
  spec.validationActions?.includes("Deny") === true;
