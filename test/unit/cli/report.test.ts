/** Findings from facts, and how they are told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Facts } from "../../../cli/checks/facts.ts";
import { judgeCluster, judgeInstallation } from "../../../cli/checks/judge.ts";
import { report } from "../../../cli/commands/check.ts";
import { explanation } from "../../../cli/commands/explain.ts";
import { table } from "../../../cli/terminal.ts";
import { deployment, goodFacts, now, webhook } from "./facts.ts";

const metadata = { uid: "1", resourceVersion: "1" };
const shop = { metadata: { ...metadata, name: "shop", labels: { "tencrypt.io/project": "enabled" } } };

const all = (facts: Facts): ReturnType<typeof judgeCluster> => [...judgeCluster(facts), ...judgeInstallation(facts)];
const worse = (changes: Partial<Facts>): readonly string[] =>
  all({ ...goodFacts, ...changes })
    .filter(({ level }) => level !== "good")
    .map(({ code, level }) => `${code} ${level}`);

test("a good installation has nothing to say", () => assert.deepEqual(worse({}), []));

const cases: readonly (readonly [what: string, changes: Partial<Facts>, expected: readonly string[]])[] = [
  ["an old API server", { version: "v1.29.9" }, ["TC-K8S-01 failed"]],
  ["no policies", { policies: false }, ["TC-K8S-02 failed"]],
  ["missing rights", { forbidden: ["create namespaces"] }, ["TC-K8S-03 warning"]],
  ["a clock that is wrong", { serverTime: now - 31_000 }, ["TC-K8S-04 failed"]],
  ["a replica that is away", { controller: deployment("x/control-plane:0.1.0", 1) }, ["TC-CP-01 failed"]],
  ["no ca", { ca: null }, ["TC-CP-02 failed", "TC-CP-03 warning"]],
  ["another version", { ca: deployment("x/control-plane:0.2.0") }, ["TC-CP-03 warning"]],
  [
    "a webhook that fails open",
    { mutating: { webhooks: [{ ...webhook.webhooks[0]!, failurePolicy: "Ignore" }] } },
    ["TC-WH-01 failed"],
  ],
  [
    "a webhook without our root",
    { validating: { webhooks: [{ ...webhook.webhooks[0]!, clientConfig: {} }] } },
    ["TC-WH-02 failed"],
  ],
  ["no root", { rootPem: null }, ["TC-WH-02 failed", "TC-CA-01 failed"]],
  [
    "a root that ends soon",
    { now: now + 3_600 * 86_400_000, serverTime: null },
    ["TC-K8S-04 warning", "TC-CA-02 warning"],
  ],
  ["callers from elsewhere", { sourceMismatches: 3 }, ["TC-CA-03 warning"]],
];
for (const [what, changes, expected] of cases) test(what, () => assert.deepEqual(worse(changes), expected));

test("a pod that should be protected is told with its workload and why", () => {
  const pod = {
    metadata: {
      ...metadata,
      name: "cart-6d9f-x",
      namespace: "shop",
      labels: { "pod-template-hash": "6d9f" },
      annotations: { "tencrypt.io/skipped": "inject_disabled", "tencrypt.io/mode": "?" },
      ownerReferences: [{ kind: "ReplicaSet", name: "cart-6d9f", controller: true }],
    },
    spec: { containers: [] },
  };
  const findings = all({ ...goodFacts, projects: [shop], pods: [pod] });
  const text = report(findings, { color: false });
  assert.match(
    text,
    /✗ 1 of 1 pods should be protected and are not +TC-PRJ-01\n {6}shop\/cart-6d9f-x \(Deployment\/cart\): inject_disabled\n {6}next: /,
  );
  assert.match(text, /TC-PRJ-02\n {6}cart-6d9f-x: tencrypt.io\/mode: "\?" is none of/);
  assert.match(text, /2 failed, 0 warnings, [0-9]+ passed\n$/);
});

test("tables fit the terminal", () => {
  assert.equal(table(["A", "B"], [["1", "long text"]], 8), "A  B\n1  long…\n");
});

test("every kind of code is explained", () => {
  assert.equal(explanation("peer_not_enrolled")?.kind, "refusal");
  assert.equal(explanation("host_network")?.kind, "injection");
  assert.equal(explanation("tc-wh-02")?.code, "TC-WH-02");
  assert.equal(explanation("toString"), null);
});
