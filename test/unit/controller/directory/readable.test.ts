/**
 * What users may write into their objects, and API servers take, never makes the directory unreadable: a proxy refuses an
 * update as a whole, so one such object would keep all news from its project and the project's peers.
 */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, test } from "node:test";
import { ClusterState } from "../../../../controller/directory/state.ts";
import { Streams } from "../../../../controller/directory/streams.ts";
import type { WatchCall } from "../../../../controller/directory/streams.ts";
import type { DocumentService } from "../../../../lib/directory/document.ts";
import type { EndpointSlice, Namespace, Node, Pod, Service } from "../../../../lib/kube/objects.ts";
import { Update } from "../../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { applyUpdate, snapshotOf } from "../../../../proxy/directory/knowledge.ts";
import { manualClock } from "../../../clock/manual-clock.ts";

type Metadata = Pod["metadata"];

const metadataOf = (name: string, namespace = "shop"): Metadata => ({
  name,
  namespace,
  uid: `uid-${name}`,
  resourceVersion: "1",
});

const projectOf = (annotations: Readonly<Record<string, string>>): Namespace => ({
  metadata: {
    name: "shop",
    uid: "uid-shop",
    resourceVersion: "1",
    labels: { "tencrypt.io/project": "enabled" },
    annotations,
  },
});
const podOf = (status: Pod["status"], ports: Pod["spec"]["containers"][number]["ports"] = []): Pod => ({
  metadata: metadataOf("cart"),
  spec: { containers: [{ name: "app", ports }] },
  status: { phase: "Running", ...status },
});
const serviceOf = (spec: Partial<Service["spec"]>): Service => ({
  metadata: metadataOf("web"),
  spec: { clusterIPs: ["10.2.0.1"], ports: [{ port: 80 }], ...spec },
});
type Endpoint = NonNullable<EndpointSlice["endpoints"]>[number];
const sliceOf = (endpoint: Partial<Endpoint>, port = 8080): EndpointSlice => ({
  metadata: { ...metadataOf("web-x"), labels: { "kubernetes.io/service-name": "web" } },
  addressType: "IPv4",
  ports: [{ port }],
  endpoints: [{ addresses: ["10.3.0.1"], ...endpoint }],
});
const nodeOf = (address: string): Node => ({
  metadata: { name: "n1", uid: "uid-n1", resourceVersion: "1" },
  status: { addresses: [{ type: "InternalIP", address }] },
});

type Objects = {
  readonly namespace?: Namespace;
  readonly pod?: Pod;
  readonly service?: Service;
  readonly slice?: EndpointSlice;
  readonly node?: Node;
};

/** What a proxy of the project is sent, as it comes out of the wire. */
function sent({ namespace = projectOf({}), pod, service, slice, node }: Objects): Update {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: ["10.0.0.0/8"] });
  state.namespace({ kind: "added", object: namespace });
  if (pod !== undefined) state.pod({ kind: "added", object: pod });
  if (service !== undefined) state.service({ kind: "added", object: service });
  if (slice !== undefined) state.slice({ kind: "added", object: slice });
  if (node !== undefined) state.node({ kind: "added", object: node });
  const parts = { clock: manualClock(), instance: "one", revisions: () => [], watching: () => {} };
  const updates: Update[] = [];
  const call = Object.assign(new EventEmitter(), {
    request: { version: 0n, resume: "", revisions: [] },
    write: (update: Update) => void updates.push(update),
  });
  const caller = { project: "shop", podUid: "uid-self", spiffeId: "" };
  new Streams({ state, ...parts }).open(call as unknown as WatchCall, caller);
  return Update.decode(Update.encode(updates[0]!).finish());
}

function read(update: Update): void {
  const applied = applyUpdate(null, update);
  if (applied.kind === "refused") assert.fail(applied.problems.join("; "));
  const built = snapshotOf(applied.knowledge);
  if (built.kind === "refused") assert.fail(built.problems.join("; "));
}

const ofNobody = ["127.0.0.1", "0.0.0.0", "0.1.2.3", "169.254.1.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"];
const ofNobody6 = ["::1", "::", "fe80::1", "ff02::1", "::ffff:10.0.0.1"];
const several = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1);

describe("an address that no host can have is told of nobody", () => {
  for (const ip of [...ofNobody, ...ofNobody6]) {
    const objects: Readonly<Record<string, Objects>> = {
      "of a pod": { pod: podOf({ podIPs: [{ ip }] }) },
      "of a pod's host": {
        pod: podOf({ podIP: "10.3.0.1", hostIP: ip, hostIPs: [{ ip }] }, [{ containerPort: 80, hostPort: 80 }]),
      },
      "of a Service": { service: serviceOf({ externalIPs: [ip] }) },
      "of an endpoint": { service: serviceOf({}), slice: sliceOf({ addresses: [ip] }) },
      "of a node": { node: nodeOf(ip) },
    };
    for (const [whose, each] of Object.entries(objects)) test(`${ip} ${whose}`, () => read(sent(each)));
  }
});

describe("what is longer or more than a proxy reads is cut", () => {
  const web = (objects: Objects): DocumentService => {
    const update = sent(objects);
    read(update);
    return update.services[0] as unknown as DocumentService;
  };

  test("addresses of a Service: its own come first", () => {
    const { vips } = web({ service: serviceOf({ externalIPs: several(100).map((at) => `203.0.113.${at}`) }) });
    assert.equal(vips.length, 63);
    assert.equal(vips[0], "10.2.0.1");
  });

  test("ports of a Service, and of its endpoints with them", () => {
    const ports = several(1_100).map((port) => ({ name: `p${port}`, port }));
    const slice: EndpointSlice = { ...sliceOf({}), ports };
    const { ports: told, endpoints } = web({ service: serviceOf({ ports }), slice });
    assert.equal(told.length, 1_024);
    assert.equal(Object.keys(endpoints[0]!.ports).length, 1_024);
  });

  test("words that are only passed on", () => {
    const appProtocol = `${"a".repeat(253)}/${"b".repeat(63)}`;
    const zone = "z".repeat(254);
    const service = web({ service: serviceOf({ ports: [{ port: 80, appProtocol }] }), slice: sliceOf({ zone }) });
    assert.equal(service.ports[0]!.appProtocol, "");
    assert.equal(service.endpoints[0]!.zone, "");
  });

  test("rules of a project", () => {
    const rules = several(1_100)
      .map((at) => `shop/account-${at}`)
      .join();
    const peers = several(1_100)
      .map((at) => `peer-${at}/uid`)
      .join();
    const cidrs = several(1_100)
      .map((at) => `203.0.${at >> 8}.${at & 255}/32`)
      .join();
    const namespace = projectOf({
      "tencrypt.io/allow-from": rules,
      "tencrypt.io/allow-ingress": rules,
      "tencrypt.io/allow-egress": cidrs,
      "tencrypt.io/peers": peers,
    });
    read(sent({ namespace }));
  });
});

describe("a port that is none leads nowhere", () => {
  for (const port of [0, -1, 65_536, 2_147_483_647])
    test(String(port), () => {
      const update = sent({ service: serviceOf({}), slice: sliceOf({}, port) });
      read(update);
      assert.deepEqual(update.services[0]!.endpoints[0]!.ports, {});
    });
});

test("a pod that says it has a Service's address", () => {
  const update = sent({ service: serviceOf({}), pod: podOf({ podIP: "10.2.0.1" }) });
  read(update);
  assert.deepEqual(update.services[0]!.vips, ["10.2.0.1"]);
  assert.deepEqual(update.workloads, []);
});

test("such a pod in a project that it shares another address with, before the Service and after it", () => {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: ["10.0.0.0/8"] });
  const pod = podOf({ podIP: "10.3.0.1", podIPs: [{ ip: "10.3.0.1" }, { ip: "10.2.0.1" }] });
  const rival: Pod = { ...podOf({ podIP: "10.3.0.1" }), metadata: metadataOf("rival", "billing") };
  const told = (project: string): unknown => state.entriesOf(project)?.workloads.get("uid-cart")?.value?.ips;
  for (const object of [pod, rival]) state.pod({ kind: "added", object });
  assert.deepEqual(told("billing"), ["10.3.0.1", "10.2.0.1"]);
  state.service({ kind: "added", object: serviceOf({}) });
  assert.deepEqual([told("shop"), told("billing")], [["10.3.0.1"], ["10.3.0.1"]]);
  assert.deepEqual(
    state.podsAt("10.3.0.1").map(({ ips }) => ips),
    [["10.3.0.1"], ["10.3.0.1"]],
  );
});
