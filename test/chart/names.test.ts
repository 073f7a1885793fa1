/** What `tencrypt check` asks for by name is what the chart makes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { admissionPolicies, warningPolicies, webhookConfigurations, webhookNames } from "../../lib/kube/names.ts";
import { marksOf } from "../../lib/project/marks.ts";
import { rendered } from "./rendered.ts";

const named = (kind: string): readonly string[] =>
  rendered("default")
    .filter((object) => object.kind === kind)
    .map(({ metadata }) => metadata.name)
    .toSorted();

test("the admission policies and their bindings", () => {
  const all = [...admissionPolicies, ...warningPolicies].toSorted();
  assert.deepEqual(named("ValidatingAdmissionPolicy"), all);
  assert.deepEqual(named("ValidatingAdmissionPolicyBinding"), all);
});

test("the webhooks", () => {
  for (const [which, kind] of [
    ["mutating", "MutatingWebhookConfiguration"],
    ["validating", "ValidatingWebhookConfiguration"],
  ] as const) {
    assert.deepEqual(named(kind), [webhookConfigurations[which]]);
    const webhooks = rendered("default").find((object) => object.kind === kind)?.["webhooks"] as { name: string }[];
    assert.deepEqual(
      webhooks.map(({ name }) => name),
      webhookNames[which],
    );
  }
});

for (const [name, kind] of [
  ["tencrypt-marks", "namespace"],
  ["tencrypt-template-marks", "pod"],
] as const)
  test(`${name} knows the labels and annotations that count on a ${kind}`, () => {
    const policy = rendered("default").find(
      (object) => object.kind === "ValidatingAdmissionPolicy" && object.metadata.name === name,
    );
    assert.ok(policy !== undefined);
    const { variables } = policy["spec"] as { variables: { name: string; expression: string }[] };
    const known = variables
      .filter((variable) => variable.name === "forms" || variable.name === "unknown")
      .flatMap(({ expression }) => expression.match(/tencrypt\.io\/[\w-]+/g) ?? []);
    assert.deepEqual(known.toSorted(), [...marksOf[kind].labels, ...marksOf[kind].annotations].toSorted());
  });
