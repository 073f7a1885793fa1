/** An API server fills fields in after an injection, and asks for another one: what it wants to find there stays. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inject } from "../../../../lib/inject/inject.ts";
import type { PodTemplate } from "../../../../lib/inject/inject.ts";
import { validateNew } from "../../../../lib/inject/validate.ts";
import type { Container } from "../../../../lib/kube/objects.ts";
import { injection } from "../../../cluster/protected-pod.ts";

const namespace = { metadata: { labels: { "tencrypt.io/project": "enabled" } } };
const config = { ...injection, requests: { cpu: "20m" }, limits: { memory: "256Mi" } };

function injected(pod: PodTemplate, by = config): PodTemplate {
  const outcome = inject(pod, namespace, by);
  assert.ok(outcome.kind === "injected");
  return outcome.pod;
}

const withFields = (pod: PodTemplate, fields: Partial<Container>): PodTemplate => ({
  ...pod,
  spec: { ...pod.spec, initContainers: pod.spec.initContainers!.map((each) => ({ ...each, ...fields })) },
});

const fieldsOf = ({ spec }: PodTemplate): readonly unknown[] =>
  spec.initContainers!.map(({ resources, imagePullPolicy }) => ({ resources, imagePullPolicy }));

const first = injected({ spec: { containers: [{ name: "app" }] } });
const limits = { cpu: "1", "ephemeral-storage": "1Gi" };
const filled = { resources: { limits, requests: limits }, imagePullPolicy: "Always" };

test("limits, requests and the policy to pull always stay in another injection, and are admitted", () => {
  const pod = withFields(first, filled);
  const set = { limits: { memory: "256Mi" }, requests: { cpu: "20m" } };
  const resources = { limits: { ...limits, ...set.limits }, requests: { ...limits, ...set.requests } };
  for (const [index, fields] of fieldsOf(injected(pod)).entries()) {
    const own = first.spec.initContainers![index]!["resources"] as typeof set;
    const merged = { limits: { ...limits, ...own.limits }, requests: { ...limits, ...own.requests } };
    assert.deepEqual(fields, { ...filled, resources: merged });
  }
  assert.deepEqual(injected(pod).spec.initContainers![1]!["resources"], resources);
  assert.equal(validateNew(injected(pod), namespace, config).kind, "admitted");
});

test("what the installation sets stays, whatever the pod says, and a device of a plugin does not", () => {
  const wanted = { limits: { memory: "8Gi", cpu: "2", "vendor.example/x": "1" }, requests: { cpu: "4" } };
  const [, proxy] = injected(withFields(first, { resources: wanted })).spec.initContainers!;
  assert.deepEqual(proxy!["resources"], { limits: { memory: "256Mi", cpu: "2" }, requests: { cpu: "20m" } });
});

test("anything else does not stay, nor does what another version or configuration injected", () => {
  const pod = withFields(first, {
    resources: { claims: [{ name: "gpu" }] },
    imagePullPolicy: "Never",
    command: ["sh"],
  });
  const [init, proxy] = injected(pod).spec.initContainers!;
  for (const [index, each] of [init, proxy].entries()) {
    assert.deepEqual(each!["resources"], first.spec.initContainers![index]!["resources"]);
    assert.equal(each!["imagePullPolicy"], "IfNotPresent");
    assert.equal(each!["command"], undefined);
  }
  const next = { ...config, version: "next" };
  assert.deepEqual(fieldsOf(injected(withFields(first, filled), next)), fieldsOf(injected(first, next)));
});
