/** An event costs what it touches: however many Services a cluster has, those of other projects are not looked at. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterState } from "../../../../controller/directory/state.ts";
import type { EndpointSlice, Service } from "../../../../lib/kube/objects.ts";

const serviceOf = (namespace: string, ip: string): Service => ({
  metadata: { name: "web", namespace, uid: `of-${namespace}`, resourceVersion: "1" },
  spec: { clusterIPs: [ip], ports: [{ port: 80 }] },
});

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
  let looks = 0;
  const watched = (service: Service): Service =>
    new Proxy(service, {
      get: (target, name) => {
        looks++;
        return Reflect.get(target, name) as unknown;
      },
    });
  for (let at = 0; at < 100; at++)
    state.service({ kind: "added", object: watched(serviceOf(`other-${at}`, `10.1.0.${at}`)) });
  const shop = serviceOf("shop", "10.2.0.1");
  const slice = sliceOf("shop", "10.3.0.1");
  looks = 0;
  state.service({ kind: "added", object: shop });
  state.slice({ kind: "added", object: slice });
  assert.deepEqual(state.entriesOf("shop")?.services.get("shop/web")?.value?.own.endpoints.length, 1);
  state.slice({ kind: "removed", object: slice });
  state.service({ kind: "removed", object: shop });
  assert.equal(state.entriesOf("shop")?.services.get("shop/web")?.value, null);
  assert.equal(looks, 0);
});
