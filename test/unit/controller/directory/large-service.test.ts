/**
 * Ports times endpoints: two objects of a few hundred KB make millions. What is told and kept of a Service is bounded, so
 * that nobody who may make one takes the controller's memory, or that of the proxies that hear of it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterState } from "../../../../controller/directory/state.ts";
import type { DocumentService } from "../../../../lib/directory/document.ts";
import type { EndpointSlice, Service } from "../../../../lib/kube/objects.ts";

const portsOf = (count: number): readonly { readonly name: string; readonly port: number }[] =>
  Array.from({ length: count }, (_, index) => ({ name: `p${index}`, port: index + 1 }));

const serviceOf = (ports: number): Service => ({
  metadata: { name: "web", namespace: "shop", uid: "of-web", resourceVersion: "1" },
  spec: { clusterIPs: ["10.2.0.1"], ports: portsOf(ports) },
});

const sliceOf = (index: number, ports: number): EndpointSlice => ({
  metadata: {
    name: `web-${index}`,
    namespace: "shop",
    uid: `slice-${index}`,
    resourceVersion: "1",
    labels: { "kubernetes.io/service-name": "web" },
  },
  addressType: "IPv4",
  ports: portsOf(ports),
  endpoints: Array.from({ length: 1_000 }, (_, at) => ({
    addresses: [`10.${3 + index}.${at >> 8}.${at & 255}`],
    conditions: { ready: true },
  })),
});

function stateOf(ports: number, slices: number): ClusterState {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: ["10.0.0.0/8"] });
  for (let index = 0; index < slices; index++) state.slice({ kind: "added", object: sliceOf(index, ports) });
  state.service({ kind: "added", object: serviceOf(ports) });
  return state;
}

const toldOf = (state: ClusterState): DocumentService => state.entriesOf("shop")!.services.get("shop/web")!.value!.own;

test("of a Service with many ports and endpoints some endpoints are told, each with all its ports", () => {
  const { ports, endpoints } = toldOf(stateOf(1_024, 2));
  assert.equal(ports.length, 1_024);
  assert.equal(endpoints.length, 96);
  for (const endpoint of endpoints) assert.equal(Object.keys(endpoint.ports).length, 1_024);
});

test("a Service as large as real ones is told whole", () => {
  assert.equal(toldOf(stateOf(8, 5)).endpoints.length, 5_000);
});

test("what is kept to know whether a Service has changed does not grow with it", () => {
  const { digest } = stateOf(8, 5).entriesOf("shop")!.services.get("shop/web")!;
  assert.ok(digest.length < 100);
});
