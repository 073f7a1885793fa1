/** Pods are shown with what made them, and are told to be made again by what can do that. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeInstallation } from "../../../cli/checks/judge.ts";
import { explanation } from "../../../cli/commands/explain.ts";
import { structured } from "../../../cli/terminal.ts";
import { podRows } from "../../../cli/workloads.ts";
import type { Pod } from "../../../lib/kube/objects.ts";
import { goodFacts, read } from "./facts.ts";

const shop = {
  metadata: { name: "shop", uid: "1", resourceVersion: "1", labels: { "tencrypt.io/project": "enabled" } },
};
const podOf = (name: string, kind: string, owner: string, more: Partial<Pod["metadata"]> = {}): Pod => ({
  metadata: {
    name,
    namespace: "shop",
    uid: name,
    resourceVersion: "1",
    ownerReferences: [{ kind, name: owner, controller: true }],
    ...more,
  },
  spec: { containers: [] },
});
const nextOf = (...pods: readonly Pod[]): string | undefined =>
  judgeInstallation({ ...goodFacts, projects: read([shop]), pods: read(pods) }).find(({ code }) => code === "TC-PRJ-01")
    ?.next;

test("names that YAML 1.1 takes for something else are text in YAML output too", () => {
  const rows = ["no", "on", "y", "0o7", "1e3", "2026-11-30", "1_000", "shop"].map((namespace) => ({ namespace }));
  const text = structured(rows, "yaml");
  for (const { namespace } of rows.slice(0, -1)) assert.ok(text.includes(`namespace: "${namespace}"\n`), namespace);
  assert.ok(text.endsWith("namespace: shop\n"));
});

test("a static pod is told to be one, and nobody to make its node again", () => {
  const pod = podOf("proxy-n1", "Node", "n1", { annotations: { "kubernetes.io/config.mirror": "1f" } });
  const [row] = podRows([shop], [pod]);
  assert.deepEqual([row?.why, row?.exempt], ["mirror_pod", false]);
  assert.equal(nextOf(pod), "tencrypt explain mirror_pod");
  assert.match(explanation("mirror_pod")?.next ?? "", /DaemonSet/);
  assert.equal(
    nextOf(pod, podOf("db-0", "StatefulSet", "db")),
    "kubectl -n shop rollout restart StatefulSet/db; tencrypt explain mirror_pod; tencrypt explain started_before_project",
  );
});

test("a pod of a ReplicaSet is shown with what made that", () => {
  const workload = (name: string, labels: Readonly<Record<string, string>>): string | undefined =>
    podRows([shop], [podOf("cart-6d9f-x", "ReplicaSet", name, { labels })])[0]?.workload;
  assert.equal(workload("cart-6d9f", { "pod-template-hash": "6d9f" }), "Deployment/cart");
  assert.equal(workload("cart-6d9f", { "rollouts-pod-template-hash": "6d9f" }), "Rollout/cart");
  assert.equal(workload("cart", {}), "ReplicaSet/cart");
  assert.equal(workload("cart", { "pod-template-hash": "6d9f" }), "ReplicaSet/cart");
});
