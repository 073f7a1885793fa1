/** Pods that were there before their project became strict, and may undo their rules, are told: nothing else would say so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodFact } from "../../../cli/checks/facts.ts";
import { judgeInstallation } from "../../../cli/checks/judge.ts";
import { protectedSpec } from "../../cluster/protected-pod.ts";
import { goodFacts, read } from "./facts.ts";

type Case = {
  readonly project: string;
  readonly context: object;
  readonly annotations?: Readonly<Record<string, string>>;
};

function told({ project, context, annotations = {} }: Case): readonly string[] {
  const marks = { uid: "1", resourceVersion: "1" };
  const labels = { "tencrypt.io/project": "enabled" };
  const shop = { metadata: { ...marks, name: "shop", labels, annotations: { "tencrypt.io/mode": project } } };
  const pod = {
    metadata: { ...marks, name: "tool", namespace: "shop", annotations },
    spec: {
      ...protectedSpec({ mode: "permissive" }),
      containers: [{ name: "app" }, { name: "net", securityContext: context }],
    },
  } as unknown as PodFact;
  const [found] = judgeInstallation({ ...goodFacts, projects: read([shop]), pods: read([pod]) }).filter(
    ({ code }) => code === "TC-PRJ-09",
  );
  return [found?.level ?? "", ...(found?.details ?? [])];
}

const failed = ["failed", "tool (Pod/tool): container net"];
const cases: readonly (readonly [string, Case, readonly string[]])[] = [
  ["a privileged container", { project: "strict", context: { privileged: true } }, failed],
  ["a capability", { project: "strict", context: { capabilities: { add: ["CAP_NET_RAW"] } } }, failed],
  [
    "a pod that is strict by itself",
    { project: "project", context: { privileged: true }, annotations: { "tencrypt.io/mode": "strict" } },
    failed,
  ],
  ["a harmless capability", { project: "strict", context: { capabilities: { add: ["NET_BIND_SERVICE"] } } }, ["good"]],
  ["another mode", { project: "project", context: { privileged: true } }, ["good"]],
];
for (const [what, one, expected] of cases) test(`${what}: ${expected[0]}`, () => assert.deepEqual(told(one), expected));
