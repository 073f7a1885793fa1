/**
 * Services by hundreds, each as large as is told of one: a project's take no more of an update than a proxy can read beside
 * those of its peers. The others keep their addresses, so that nobody takes these for somebody else's, and come back.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Room } from "../../../../controller/directory/room.ts";
import { ClusterState } from "../../../../controller/directory/state.ts";
import { toService } from "../../../../lib/directory/wire.ts";
import type { EndpointSlice, Service } from "../../../../lib/kube/objects.ts";
import { Service as WireService } from "../../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";

test("what fits is told, what waits is told when there is room, in its order", () => {
  const room = new Room(10);
  const take = (service: string, size: number): string => {
    const { fits, mayFit } = room.take("shop", service, size);
    return `${fits} ${mayFit.join()} ${room.waiting}`;
  };
  assert.equal(take("a", 6), "true  0");
  assert.equal(take("b", 5), "false  1");
  assert.equal(take("c", 4), "true  1");
  assert.equal(take("d", 3), "false  2");
  assert.equal(room.take("crm", "e", 10).fits, true);
  // One that grows out of its room makes it for others.
  assert.equal(take("c", 5), "false d 3");
  assert.equal(take("d", 3), "true  2");
  assert.equal(take("a", 0), "true b 2");
  assert.equal(take("b", 5), "true  1");
  assert.equal(take("c", 2), "true  0");
  for (const service of ["b", "c", "d"]) take(service, 0);
  assert.equal(take("a", 10), "true  0");
});

const ports = Array.from({ length: 1_024 }, (_, index) => ({ name: `p${index}`, port: index + 1 }));
const services = 40;
const metadataOf = (name: string): Service["metadata"] => ({
  name,
  namespace: "shop",
  uid: `uid-${name}`,
  resourceVersion: "1",
});
const serviceOf = (index: number): Service => ({
  metadata: metadataOf(`web-${index}`),
  spec: { clusterIPs: [`10.2.0.${index + 1}`], ports },
});
const sliceOf = (index: number): EndpointSlice => ({
  metadata: { ...metadataOf(`web-${index}`), labels: { "kubernetes.io/service-name": `web-${index}` } },
  addressType: "IPv4",
  ports,
  endpoints: Array.from({ length: 96 }, (_, at) => ({ addresses: [`10.3.${index}.${at + 1}`] })),
});

test("the Services of a project are bounded, and each keeps its addresses", () => {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: ["10.0.0.0/8"] });
  for (let index = 0; index < services; index++) {
    state.slice({ kind: "added", object: sliceOf(index) });
    state.service({ kind: "added", object: serviceOf(index) });
  }
  const told = (): readonly { readonly vips: readonly string[]; readonly endpoints: readonly unknown[] }[] =>
    [...state.entriesOf("shop")!.services.values()].map(({ value }) => value?.own ?? { vips: [], endpoints: [] });
  const octets = [...state.entriesOf("shop")!.services.values()]
    .map(({ value }) => WireService.encode(toService(value!.own)).finish().length)
    .reduce((sum, each) => sum + each, 0);
  assert.ok(octets > 4 * 1024 * 1024 && octets < 9 * 1024 * 1024, `${octets} octets`);
  assert.ok(told().every(({ vips }) => vips.length === 1));
  const cut = told().filter(({ endpoints }) => endpoints.length === 0).length;
  assert.equal(state.cut, cut);
  assert.ok(cut > services / 2 && cut < services);
  // Half of those that are told are gone: as many others are told.
  const whole = services - cut;
  for (let index = 0; index < whole / 2; index++) state.service({ kind: "removed", object: serviceOf(index) });
  assert.equal(told().filter(({ endpoints }) => endpoints.length > 0).length, whole);
  assert.equal(state.cut, cut - Math.ceil(whole / 2));
});
