/** Of namespaces that come and go nothing is kept for ever, in whatever order it is told what was in them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterState } from "../../../../controller/directory/state.ts";
import { deltaFor, visibleProjects } from "../../../../controller/directory/view.ts";
import type { Namespace, Pod, Service } from "../../../../lib/kube/objects.ts";

const namespaceOf = (name: string): Namespace => ({
  metadata: { name, uid: `uid-${name}`, resourceVersion: "1", labels: { "tencrypt.io/project": "enabled" } },
});
const podOf = (namespace: string): Pod => ({
  metadata: { name: "web", namespace, uid: `pod-${namespace}`, resourceVersion: "1" },
  spec: { containers: [{ name: "app" }] },
  status: { phase: "Running", podIP: "10.1.0.1" },
});
const serviceOf = (namespace: string): Service => ({
  metadata: { name: "web", namespace, uid: `service-${namespace}`, resourceVersion: "1" },
  spec: { clusterIPs: ["10.2.0.1"], ports: [{ port: 80 }] },
});

const names = Array.from({ length: 1_000 }, (_, index) => `n${index}`);
const kept = (state: ClusterState): number => names.filter((name) => state.entriesOf(name) !== undefined).length;
const settings = { defaultMode: "project", clusterRanges: ["10.0.0.0/8"] } as const;

/** `isFirst`: the namespace is told to be gone before what was in it. */
function comeAndGo(state: ClusterState, name: string, isFirst: boolean): void {
  state.namespace({ kind: "added", object: namespaceOf(name) });
  state.pod({ kind: "added", object: podOf(name) });
  state.service({ kind: "added", object: serviceOf(name) });
  if (isFirst) state.namespace({ kind: "removed", object: namespaceOf(name) });
  state.pod({ kind: "removed", object: podOf(name) });
  state.service({ kind: "removed", object: serviceOf(name) });
  if (!isFirst) state.namespace({ kind: "removed", object: namespaceOf(name) });
}

test("of empty ones nothing is left", () => {
  const state = new ClusterState(settings);
  for (const name of names) {
    state.namespace({ kind: "added", object: namespaceOf(name) });
    state.namespace({ kind: "removed", object: namespaceOf(name) });
  }
  assert.equal(kept(state), 0);
});

test("of others nothing is left once no stream has to be told of it any more", () => {
  const state = new ClusterState(settings);
  for (const [index, name] of names.entries()) comeAndGo(state, name, index % 2 === 0);
  assert.equal(kept(state), names.length);
  state.namespace({ kind: "added", object: namespaceOf("busy") });
  for (let count = 0; count < 20_000; count++) {
    state.pod({ kind: "added", object: podOf("busy") });
    state.pod({ kind: "removed", object: podOf("busy") });
  }
  comeAndGo(state, "last", true);
  assert.equal(kept(state), 0);
});

test("one that is made again is what it is now", () => {
  const state = new ClusterState(settings);
  state.namespace({ kind: "added", object: namespaceOf("shop") });
  const before = state.change;
  state.namespace({ kind: "removed", object: namespaceOf("shop") });
  state.pod({ kind: "added", object: podOf("shop") });
  state.namespace({ kind: "added", object: namespaceOf("shop") });
  const { projects, workloads } = deltaFor(visibleProjects("shop", state), state, before);
  assert.deepEqual([projects.length, workloads.length], [1, 1]);
});
