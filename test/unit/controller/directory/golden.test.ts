/**
 * test/golden/directory: each `<case>.yaml` holds objects of a cluster, `<case>.json` what proxies of project `shop` are
 * told of them. `npm run golden` rewrites the latter. The order in which objects come makes no difference, and changes
 * applied one by one lead to what is told at once.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseAllDocuments } from "yaml";
import { ClusterState } from "../../../../controller/directory/state.ts";
import { deltaFor, visibleProjects } from "../../../../controller/directory/view.ts";
import type { Delta } from "../../../../controller/directory/view.ts";
import type { Change } from "../../../../lib/kube/informer.ts";
import type { KubeObject } from "../../../../lib/kube/objects.ts";
import { protectedSpec } from "../../../cluster/protected-pod.ts";

const folder = join(import.meta.dirname, "../../../golden/directory");
const settings = { defaultMode: "project", clusterRanges: [] } as const;

type Kind = "Namespace" | "Pod" | "Service" | "EndpointSlice" | "Node" | "ServiceCIDR";

/** `protected: MODE` in the spec of a pod stands for what injection would have put there. */
function injected(object: KubeObject & { readonly spec?: object }): KubeObject {
  const { protected: mode, ...spec } = (object.spec ?? {}) as { readonly protected?: string };
  return mode === undefined ? object : ({ ...object, spec: { ...spec, ...protectedSpec({ mode }) } } as KubeObject);
}

const read = (name: string): readonly KubeObject[] =>
  parseAllDocuments(readFileSync(join(folder, `${name}.yaml`), "utf8")).map((document) =>
    injected(document.toJS() as KubeObject),
  );

const takers: Readonly<Record<Kind, "namespace" | "pod" | "service" | "slice" | "node" | "serviceCidr">> = {
  Namespace: "namespace",
  Pod: "pod",
  Service: "service",
  EndpointSlice: "slice",
  Node: "node",
  ServiceCIDR: "serviceCidr",
};

function tell(state: ClusterState, change: Change<KubeObject>): void {
  const taker = takers[change.object.kind as Kind];
  (state[taker] as (change: Change<KubeObject>) => void).call(state, change);
}

function stateOf(objects: readonly KubeObject[]): ClusterState {
  const state = new ClusterState(settings);
  for (const object of objects) tell(state, { kind: "added", object });
  return state;
}

const byText = <T>(list: readonly T[]): readonly T[] =>
  list.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

/** What is told, in an order of its own. */
function told(state: ClusterState): object {
  const visible = visibleProjects("shop", state);
  const { cluster, projects, workloads, services } = deltaFor(visible, state, null);
  return { cluster, projects: byText(projects), workloads: byText(workloads), services: byText(services) };
}

/** As a proxy keeps it: everything by its key, changed by each delta. */
class Follower {
  readonly #projects = new Map<string, unknown>();
  readonly #workloads = new Map<string, unknown>();
  readonly #services = new Map<string, unknown>();
  #cluster: unknown = null;
  #since: number | null = null;
  #visible = "";

  follow(state: ClusterState): void {
    const visible = visibleProjects("shop", state);
    const isSame = visible.join() === this.#visible;
    this.#take(deltaFor(visible, state, isSame ? this.#since : null));
    this.#since = state.change;
    this.#visible = visible.join();
  }

  #take(delta: Delta): void {
    if (delta.full) for (const map of [this.#projects, this.#workloads, this.#services]) map.clear();
    if (delta.cluster !== null) this.#cluster = delta.cluster;
    for (const name of delta.removedProjects) this.#projects.delete(name);
    for (const uid of delta.removedWorkloads) this.#workloads.delete(uid);
    for (const name of delta.removedServices) this.#services.delete(name);
    for (const project of delta.projects) this.#projects.set(project.name, project);
    for (const workload of delta.workloads) this.#workloads.set(workload.uid, workload);
    for (const service of delta.services) this.#services.set(`${service.project}/${service.name}`, service);
  }

  get told(): object {
    const list = (map: ReadonlyMap<string, unknown>): readonly unknown[] => byText([...map.values()]);
    return {
      cluster: this.#cluster,
      projects: list(this.#projects),
      workloads: list(this.#workloads),
      services: list(this.#services),
    };
  }
}

const names = readdirSync(folder)
  .filter((file) => file.endsWith(".yaml"))
  .map((file) => file.slice(0, -".yaml".length));

describe("the directory, case by case", () => {
  for (const name of names) {
    const expected = join(folder, `${name}.json`);
    const result = `${JSON.stringify(told(stateOf(read(name))), null, 2)}\n`;
    if (process.env["GOLDEN"] === "update") writeFileSync(expected, result);

    test(name, () => assert.equal(result, readFileSync(expected, "utf8")));

    test(`${name}: in whatever order its objects come`, () => {
      const objects = read(name);
      const all = fc.shuffledSubarray([...objects], { minLength: objects.length, maxLength: objects.length });
      fc.assert(
        fc.property(all, (order) => assert.deepEqual(told(stateOf(order)), told(stateOf(objects)))),
        { numRuns: 20 },
      );
    });
  }
});

test("changes one by one lead to what is told at once, whatever comes and goes", () => {
  const pool = names.flatMap(read);
  const step = fc.record({ index: fc.nat(pool.length - 1), goes: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const state = new ClusterState(settings);
      const follower = new Follower();
      const present = new Map<string, KubeObject>();
      for (const { index, goes } of steps) {
        const object = pool[index]!;
        const key = `${object.kind} ${object.metadata.namespace ?? ""}/${object.metadata.name}`;
        const old = present.get(key);
        if (goes && old !== undefined) tell(state, { kind: "removed", object: old });
        else if (!goes) replace(state, old, object);
        if (goes) present.delete(key);
        else present.set(key, object);
        follower.follow(state);
        assert.deepEqual(follower.told, told(state));
      }
      assert.deepEqual(told(state), told(stateOf([...present.values()])));
    }),
    { numRuns: 200 },
  );
});

/** As an informer tells it: the same name with another uid is another object. */
function replace(state: ClusterState, old: KubeObject | undefined, object: KubeObject): void {
  if (old === undefined) tell(state, { kind: "added", object });
  else if (old.metadata.uid === object.metadata.uid) tell(state, { kind: "updated", object, old });
  else {
    tell(state, { kind: "removed", object: old });
    tell(state, { kind: "added", object });
  }
}
