/** Which manifests have a pod, and what happens with those that are none or are written wrongly. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { inject } from "../../../../lib/inject/inject.ts";
import { injection } from "../../../cluster/protected-pod.ts";
import { findPod } from "../../../../lib/inject/manifest.ts";
import type { Json } from "../../../cluster/client.ts";

const shop = { metadata: { labels: { "tencrypt.io/project": "enabled" } } };

const pod: Json = {
  kind: "Pod",
  metadata: { name: "a", namespace: "shop", labels: { app: "a" }, annotations: { "tencrypt.io/mode": "strict" } },
  spec: {
    securityContext: { runAsUser: 1 },
    initContainers: [{ name: "first", env: [{ name: "A", value: "b" }] }],
    containers: [
      {
        name: "app",
        ports: [{ name: "http", containerPort: 80 }],
        env: [{ name: "A", value: "b" }],
        volumeMounts: [{ name: "data", mountPath: "/data" }],
        securityContext: { capabilities: { add: ["NET_BIND_SERVICE"] } },
        lifecycle: { preStop: { httpGet: { port: "http", path: "/" } } },
        livenessProbe: { httpGet: { port: "http", httpHeaders: [{ name: "A", value: "b" }] } },
        readinessProbe: { tcpSocket: { port: 80 } },
        startupProbe: { grpc: { port: 80 } },
      },
    ],
    volumes: [
      { name: "data", emptyDir: {} },
      { name: "t", projected: { sources: [{ serviceAccountToken: {} }] } },
    ],
  },
};

test("the kinds whose pods are known are injected, others are left alone or told", () => {
  const template = { metadata: {}, spec: pod["spec"] };
  for (const [manifest, kind] of [
    [pod, "found"],
    [{ kind: "Deployment", spec: { template } }, "found"],
    [{ kind: "CronJob", spec: { jobTemplate: { spec: { template } } } }, "found"],
    [{ kind: "ConfigMap", data: { a: "b" } }, "none"],
    [{ kind: "Rollout", spec: { template } }, "unknown"],
    [{ kind: "ScaledJob", spec: { jobTemplate: { spec: { template } } } }, "unknown"],
    [{ kind: "Deployment", spec: { replicas: 3 } }, "unknown"],
    [{ kind: "toString", spec: {} }, "none"],
    [{ kind: "ConfigMap", metadata: null }, "none"],
    [{ kind: "ConfigMap", metadata: { name: "a", namespace: null, labels: { x: null } } }, "none"],
    [{ kind: "ConfigMap", metadata: { name: 1, labels: [] } }, "none"],
    [{ ...pod, metadata: null }, "found"],
    [{ ...pod, metadata: { name: "a", namespace: null, labels: null, annotations: { x: null } } }, "found"],
  ] as const)
    assert.equal(findPod(manifest).kind, kind, JSON.stringify(manifest).slice(0, 60));
});

describe("a manifest that cannot be used tells what is wrong with it", () => {
  const container = { name: "a" };
  for (const [manifest, fault] of [
    ["hello", "it is no object"],
    [[], "it is no object"],
    [{ kind: "Pod", spec: { containers: {} } }, "spec.containers is no list of objects with a name"],
    [{ kind: "Pod", spec: { containers: [null] } }, "spec.containers is no list of objects with a name"],
    [{ kind: "Pod", spec: { containers: [{}] } }, "spec.containers is no list of objects with a name"],
    [{ kind: "Pod", spec: { containers: [container], volumes: {} } }, "spec.volumes is no list of objects with a name"],
    [{ kind: "Pod", metadata: "a", spec: { containers: [container] } }, "metadata is no object"],
    [{ kind: "Pod", metadata: { name: 1 } }, "metadata.name is no text"],
    [{ kind: "Pod", metadata: { annotations: { a: true } } }, "metadata.annotations has a value that is no text"],
    [{ kind: "Deployment", spec: { template: { spec: null } } }, "spec.template.spec is no object"],
    [
      { kind: "Pod", spec: { containers: [{ ...container, env: {} }] } },
      "spec: env of container a is no list of objects",
    ],
    [
      { kind: "Pod", spec: { containers: [{ ...container, securityContext: 1 }] } },
      "spec: securityContext of container a is no object",
    ],
  ] as const)
    test(fault, () => assert.deepEqual(findPod(manifest), { kind: "malformed", fault }));
});

/** Every tree that comes of this one by putting something else in one place. */
function* spoiled(value: unknown): Generator<unknown> {
  for (const other of [null, 1, "x", true, [], {}, [null], [1]]) yield other;
  if (Array.isArray(value))
    for (const [index, item] of value.entries())
      for (const other of spoiled(item)) yield value.with(index, other) as unknown;
  else if (typeof value === "object" && value !== null)
    for (const [name, field] of Object.entries(value))
      for (const other of spoiled(field)) yield { ...value, [name]: other };
}

test("a field with nothing behind it is absent", () => {
  const spec = {
    containers: [{ name: "a", env: null, volumeMounts: null, ports: null }],
    volumes: null,
    initContainers: null,
  };
  const found = findPod({ kind: "Pod", metadata: { name: "a", annotations: null }, spec });
  assert.ok(found.kind === "found");
  assert.equal(inject(found.pod, shop, injection).kind, "injected");
});

test("wherever a pod is written wrongly, there is an outcome and no error", () => {
  let count = 0;
  for (const manifest of spoiled(pod)) {
    const found = findPod(manifest);
    count++;
    if (found.kind !== "found") continue;
    const outcome = inject(found.pod, shop, injection);
    assert.ok(["injected", "skipped", "refused"].includes(outcome.kind), JSON.stringify(manifest));
  }
  assert.ok(count > 300, `${count} spoiled pods`);
});
