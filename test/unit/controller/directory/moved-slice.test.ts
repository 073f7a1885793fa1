/** The label that names a slice's Service can be changed: the slice is that Service's then, and no other's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterState } from "../../../../controller/directory/state.ts";
import type { EndpointSlice, Service } from "../../../../lib/kube/objects.ts";

const serviceOf = (name: string, ip: string): Service => ({
  metadata: { name, namespace: "shop", uid: `of-${name}`, resourceVersion: "1" },
  spec: { clusterIPs: [ip], ports: [{ port: 80 }] },
});

const sliceOf = (service: string | null, resourceVersion: string): EndpointSlice => ({
  metadata: {
    name: "by-hand",
    namespace: "shop",
    uid: "slice",
    resourceVersion,
    labels: service === null ? {} : { "kubernetes.io/service-name": service },
  },
  addressType: "IPv4",
  ports: [{ port: 8080 }],
  endpoints: [{ addresses: ["10.3.0.1"], conditions: { ready: true } }],
});

function endpointsOf(state: ClusterState): readonly (number | undefined)[] {
  const services = state.entriesOf("shop")?.services;
  return ["web", "cart"].map((name) => services?.get(`shop/${name}`)?.value?.own.endpoints.length);
}

test("a slice that is given to another Service, to none and back leaves nothing behind", () => {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: ["10.0.0.0/8"] });
  for (const [name, ip] of [
    ["web", "10.2.0.1"],
    ["cart", "10.2.0.2"],
  ] as const)
    state.service({ kind: "added", object: serviceOf(name, ip) });
  const [ofWeb, ofCart, ofNone, ofWebAgain] = [
    sliceOf("web", "1"),
    sliceOf("cart", "2"),
    sliceOf(null, "3"),
    sliceOf("web", "4"),
  ];
  state.slice({ kind: "added", object: ofWeb });
  assert.deepEqual(endpointsOf(state), [1, 0]);
  state.slice({ kind: "updated", object: ofCart, old: ofWeb });
  assert.deepEqual(endpointsOf(state), [0, 1]);
  state.slice({ kind: "updated", object: ofNone, old: ofCart });
  assert.deepEqual(endpointsOf(state), [0, 0]);
  state.slice({ kind: "updated", object: ofWebAgain, old: ofNone });
  assert.deepEqual(endpointsOf(state), [1, 0]);
  state.slice({ kind: "removed", object: ofWebAgain });
  assert.deepEqual(endpointsOf(state), [0, 0]);
});
