/** An event costs what it touches: however many Services a cluster or a project has, no others are looked at. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterState } from "../../../../controller/directory/state.ts";
import { deltaFor } from "../../../../controller/directory/view.ts";
import type { EndpointSlice, KubeObject, Node, Pod, Service } from "../../../../lib/kube/objects.ts";

const serviceOf = (namespace: string, ip: string): Service => ({
  metadata: { name: "web", namespace, uid: `of-${namespace}`, resourceVersion: "1" },
  spec: { clusterIPs: [ip], ports: [{ port: 80 }] },
});

/** Counts how often something of an object is looked at. */
function counting(): { looks: number; watched<T extends KubeObject>(object: T): T } {
  const counter = {
    looks: 0,
    watched: <T extends KubeObject>(object: T): T =>
      new Proxy(object, {
        get: (target, name) => {
          counter.looks++;
          return Reflect.get(target, name) as unknown;
        },
      }),
  };
  return counter;
}

const sliceOf = (namespace: string, ip: string): EndpointSlice => ({
  metadata: {
    name: "web-x",
    namespace,
    uid: `slice-of-${namespace}`,
    resourceVersion: "1",
    labels: { "kubernetes.io/service-name": "web" },
  },
  addressType: "IPv4",
  ports: [{ port: 8080 }],
  endpoints: [{ addresses: [ip], conditions: { ready: true } }],
});

/** What is due of earlier events is made. */
function startOf(state: ClusterState, counter: { looks: number }): void {
  assert.ok(state.change > 0);
  counter.looks = 0;
}

test("events of a project's Services look at no other project's", () => {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: ["10.0.0.0/8"] });
  const counter = counting();
  for (let at = 0; at < 100; at++)
    state.service({ kind: "added", object: counter.watched(serviceOf(`other-${at}`, `10.1.0.${at}`)) });
  const shop = serviceOf("shop", "10.2.0.1");
  const slice = sliceOf("shop", "10.3.0.1");
  startOf(state, counter);
  state.service({ kind: "added", object: shop });
  state.slice({ kind: "added", object: slice });
  assert.deepEqual(state.entriesOf("shop")?.services.get("shop/web")?.value?.own.endpoints.length, 1);
  state.slice({ kind: "removed", object: slice });
  state.service({ kind: "removed", object: shop });
  assert.equal(state.entriesOf("shop")?.services.get("shop/web")?.value, null);
  assert.equal(counter.looks, 0);
});

test("events of a Service look at those of its project only that claim the same address", () => {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: ["10.0.0.0/8"] });
  const counter = counting();
  const claiming = (name: string, externalIP: string): Service => {
    const { metadata, spec } = serviceOf("shop", "10.2.0.1");
    return { metadata: { ...metadata, name, uid: name }, spec: { ...spec, clusterIPs: [], externalIPs: [externalIP] } };
  };
  for (let at = 100; at < 200; at++)
    state.service({ kind: "added", object: counter.watched(claiming(`web-${at}`, `203.0.113.${at}`)) });
  const vipsOf = (name: string): readonly string[] | undefined =>
    state.entriesOf("shop")?.services.get(`shop/${name}`)?.value?.own.vips;
  const [first, last] = [claiming("a", "198.51.100.1"), claiming("z", "198.51.100.1")];
  startOf(state, counter);
  state.service({ kind: "added", object: last });
  assert.deepEqual([vipsOf("a"), vipsOf("z")], [undefined, ["198.51.100.1"]]);
  state.service({ kind: "added", object: first });
  assert.deepEqual([vipsOf("a"), vipsOf("z")], [["198.51.100.1"], undefined]);
  state.service({ kind: "removed", object: first });
  assert.deepEqual([vipsOf("a"), vipsOf("z")], [undefined, ["198.51.100.1"]]);
  assert.equal(counter.looks, 0);
});

test("all slices of a Service are looked at when somebody asks, and not at each event of one", () => {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: ["10.0.0.0/8"] });
  const counter = counting();
  const named = (slice: EndpointSlice, name: string): EndpointSlice => ({
    ...slice,
    metadata: { ...slice.metadata, name, uid: name },
  });
  state.service({ kind: "added", object: serviceOf("shop", "10.2.0.1") });
  state.slice({ kind: "added", object: counter.watched(named(sliceOf("shop", "10.3.0.0"), "web-0")) });
  startOf(state, counter);
  for (let at = 1; at < 100; at++)
    state.slice({ kind: "added", object: named(sliceOf("shop", `10.3.0.${at}`), `web-${at}`) });
  assert.equal(counter.looks, 0);
  assert.equal(state.entriesOf("shop")?.services.get("shop/web")?.value?.own.endpoints.length, 100);
  assert.ok(counter.looks > 0);
});

test("all nodes are looked at when somebody asks, and not at each event of one", () => {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: [] });
  const counter = counting();
  const nodeOf = (at: number, resourceVersion = "1"): Node => ({
    metadata: { name: `n${at}`, uid: `uid-${at}`, resourceVersion },
    spec: { podCIDR: `10.0.${at}.0/24` },
    status: { addresses: [{ type: "InternalIP", address: `192.0.2.${at}` }] },
  });
  state.node({ kind: "added", object: counter.watched(nodeOf(0)) });
  counter.looks = 0;
  for (let at = 1; at < 100; at++) state.node({ kind: "added", object: nodeOf(at) });
  assert.equal(counter.looks, 0);
  const { change } = state;
  assert.equal(state.cluster.value?.nodeAddresses.length, 100);
  counter.looks = 0;
  state.node({ kind: "updated", object: nodeOf(1, "2"), old: nodeOf(1) });
  assert.equal(state.change, change);
  assert.equal(counter.looks, 0);
  state.node({ kind: "removed", object: nodeOf(1) });
  assert.equal(state.change, change + 1);
  assert.equal(state.cluster.value?.nodeAddresses.length, 99);
});

test("an address that comes to a node is no longer a Service's, whatever is asked first", () => {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: [] });
  const { metadata, spec } = serviceOf("shop", "10.2.0.1");
  state.namespace({
    kind: "added",
    object: {
      metadata: { name: "shop", uid: "u", resourceVersion: "1", labels: { "tencrypt.io/project": "enabled" } },
    },
  });
  state.service({ kind: "added", object: { metadata, spec: { ...spec, externalIPs: ["203.0.113.9"] } } });
  const since = state.change;
  state.node({
    kind: "added",
    object: { metadata: { name: "n", uid: "n", resourceVersion: "1" }, spec: { podCIDR: "203.0.113.0/24" } },
  });
  const { services } = deltaFor(["shop"], state, since);
  assert.deepEqual(services[0]?.vips, ["10.2.0.1"]);
});

test("pods that all claim one address cost no more than their number", () => {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: ["10.0.0.0/8"] });
  const podOf = (at: number): Pod => ({
    metadata: { name: `p${at}`, namespace: `n${at % 50}`, uid: `uid-${at}`, resourceVersion: "1" },
    spec: { containers: [{ name: "app" }] },
    status: { phase: "Running", podIP: "10.9.9.9" },
  });
  const startedAt = performance.now();
  for (let at = 0; at < 500; at++) state.pod({ kind: "added", object: podOf(at) });
  for (let project = 0; project < 50; project++)
    assert.equal(state.entriesOf(`n${project}`)?.workloads.size, 500, `n${project}`);
  assert.ok(performance.now() - startedAt < 10_000);
  for (let at = 1; at < 500; at++) state.pod({ kind: "removed", object: podOf(at) });
  assert.deepEqual(
    [...state.entriesOf("n0")!.workloads].filter(([, { value }]) => value !== null).map(([uid]) => uid),
    ["uid-0"],
  );
  assert.ok([...state.entriesOf("n1")!.workloads.values()].every(({ value }) => value === null));
});

test("a node that comes to thousands costs little, however many addresses Services claim", () => {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: [] });
  const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index);
  const nodeOf = (at: number): Node => ({
    metadata: { name: `n${at}`, uid: `uid-${at}`, resourceVersion: "1" },
    // Every other range: none lie side by side.
    spec: { podCIDR: `10.${at >> 7}.${(at & 127) * 2}.0/24` },
    status: { addresses: [{ type: "InternalIP", address: `192.168.${at >> 8}.${at & 255}` }] },
  });
  for (const at of numbers(2_000)) state.node({ kind: "added", object: nodeOf(at) });
  for (const at of numbers(200)) {
    const { metadata, spec } = serviceOf("shop", `10.250.0.${at}`);
    const externalIPs = numbers(62).map((last) => `203.0.${at}.${last + 1}`);
    state.service({
      kind: "added",
      object: { metadata: { ...metadata, name: `web-${at}`, uid: `${at}` }, spec: { ...spec, externalIPs } },
    });
  }
  const { change } = state;
  state.node({ kind: "added", object: nodeOf(2_000) });
  const startedAt = performance.now();
  assert.equal(state.change, change + 1);
  assert.ok(performance.now() - startedAt < 4_000);
});
