/** What `tencrypt check` asks for by name is what the chart makes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { admissionPolicies, warningPolicies, webhookConfigurations, webhookNames } from "../../lib/kube/names.ts";
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
