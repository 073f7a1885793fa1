/** An event costs what it touches: however many Services a cluster or a project has, no others are looked at. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterState } from "../../../../controller/directory/state.ts";
import type { EndpointSlice, Service } from "../../../../lib/kube/objects.ts";

const serviceOf = (namespace: string, ip: string): Service => ({
  metadata: { name: "web", namespace, uid: `of-${namespace}`, resourceVersion: "1" },
  spec: { clusterIPs: [ip], ports: [{ port: 80 }] },
});

/** Counts how often something of a Service is looked at. */
function counting(): { looks: number; watched(service: Service): Service } {
  const counter = {
    looks: 0,
    watched: (service: Service): Service =>
      new Proxy(service, {
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

test("events of a project's Services look at no other project's", () => {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: ["10.0.0.0/8"] });
  const counter = counting();
  for (let at = 0; at < 100; at++)
    state.service({ kind: "added", object: counter.watched(serviceOf(`other-${at}`, `10.1.0.${at}`)) });
  const shop = serviceOf("shop", "10.2.0.1");
  const slice = sliceOf("shop", "10.3.0.1");
  counter.looks = 0;
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
  counter.looks = 0;
  state.service({ kind: "added", object: last });
  assert.deepEqual([vipsOf("a"), vipsOf("z")], [undefined, ["198.51.100.1"]]);
  state.service({ kind: "added", object: first });
  assert.deepEqual([vipsOf("a"), vipsOf("z")], [["198.51.100.1"], undefined]);
  state.service({ kind: "removed", object: first });
  assert.deepEqual([vipsOf("a"), vipsOf("z")], [undefined, ["198.51.100.1"]]);
  assert.equal(counter.looks, 0);
});
