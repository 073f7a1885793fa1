/** What was learned of single addresses, beside what the state names. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { classify, workloadAt } from "../../../../proxy/route/classify.ts";
import { withLearned } from "../../../../proxy/route/learned.ts";
import type { Learned } from "../../../../proxy/route/learned.ts";
import { buildView } from "../../../../proxy/route/policy.ts";
import type { View } from "../../../../proxy/route/policy.ts";
import { route } from "../../../../proxy/route/route.ts";
import type { Workload } from "../../../../proxy/route/snapshot.ts";
import { baseDocument, endpoint, ip, self } from "./world.ts";
import { parseDocument } from "../../../../proxy/route/document.ts";

const { snapshot } = ((): Extract<ReturnType<typeof parseDocument>, { kind: "snapshot" }> => {
  const parsed = parseDocument(JSON.stringify(baseDocument()));
  return parsed.kind === "snapshot" ? parsed : assert.fail(parsed.problems.join());
})();
const web = snapshot.holders.get(ip("10.0.0.3"));
const workload: Workload = web?.kind === "pod" ? web.workload : assert.fail();
const far: Workload = { ...workload, project: "far", pod: "far-1", uid: "uid-far-1" };

const viewOf = (learned: readonly (readonly [string, Learned])[]): View =>
  buildView(withLearned(snapshot, new Map(learned.map(([text, what]) => [ip(text), what]))), self);

test("an address is what it was learned to be", () => {
  const view = viewOf([
    ["10.0.7.1", { kind: "pods", workloads: [far] }],
    ["10.0.7.2", { kind: "pods", workloads: [far, workload] }],
    ["10.96.0.99", { kind: "service", fullName: "far/db" }],
    ["10.0.7.3", { kind: "node" }],
  ]);
  const kinds = ["10.0.7.1", "10.0.7.2", "10.96.0.99", "10.0.7.3", "10.0.7.4"].map((text) => classify(view, ip(text)));
  assert.deepEqual(kinds, ["other-project", "conflict", "other-project", "node", "unknown"]);
  assert.equal(workloadAt(view, ip("10.0.7.1"))?.pod, "far-1");
});

test("what the state names counts before it", () => {
  const view = viewOf([["10.0.0.3", { kind: "pods", workloads: [far] }]]);
  assert.equal(workloadAt(view, ip("10.0.0.3"))?.pod, "web-1");
});

test("another project's Service is dialled by its own address, in clear", () => {
  const view = viewOf([["10.96.0.99", { kind: "service", fullName: "far/db" }]]);
  const chosen = route({ destination: endpoint("10.96.0.99:5432"), view, pick: 0, lookUp: null, asked: null });
  assert.ok(chosen.kind === "clear");
  assert.equal(chosen.class, "other-project");
  assert.deepEqual(chosen.endpoints, [endpoint("10.96.0.99:5432")]);
});

test("a Service with internalTrafficPolicy Local leads to the own node only", () => {
  const base = baseDocument();
  const endpoints = ["10.0.0.3", "10.0.0.5"].map((address, index) => ({
    ip: address,
    ports: { "80": 8080 },
    ready: true,
    node: `n${index + 1}`,
  }));
  const local = { project: "shop", name: "local", vips: ["10.96.0.77"], internalTrafficPolicy: "Local" };
  const document = {
    ...base,
    workloads: base.workloads.map((each) => (each["uid"] === self.podUid ? { ...each, node: "n2" } : each)),
    services: [...base.services, { ...local, ports: [{ port: 80 }], endpoints }],
  };
  const parsed = parseDocument(JSON.stringify(document));
  assert.ok(parsed.kind === "snapshot");
  const view = buildView(parsed.snapshot, self);
  for (let pick = 0; pick < 4; pick++) {
    const chosen = route({ destination: endpoint("10.96.0.77:80"), view, pick, lookUp: null, asked: null });
    assert.ok(chosen.kind === "tunnel");
    assert.deepEqual(
      chosen.candidates.map((candidate) => candidate.ip),
      [ip("10.0.0.5")],
    );
  }
});
