/** Both ends of a stream when more is looked up than either remembers: what is not followed is not remembered. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, test } from "node:test";
import { ClusterState } from "../../../../controller/directory/state.ts";
import { LookedUp } from "../../../../controller/directory/looked-up.ts";
import { Streams } from "../../../../controller/directory/streams.ts";
import type { WatchCall } from "../../../../controller/directory/streams.ts";
import { mostLookedUp } from "../../../../lib/directory/looked-up.ts";
import { toWorkload } from "../../../../lib/directory/wire.ts";
import type { Credentials } from "../../../../lib/enrolment/identity.ts";
import type { Pod } from "../../../../lib/kube/objects.ts";
import { silent } from "../../../../lib/log/log.ts";
import type { Ip } from "../../../../lib/net/address.ts";
import type { Update, WatchRequest } from "../../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import type { StreamHandlers } from "../../../../lib/grpc/channel.ts";
import type { DirectoryClient } from "../../../../proxy/directory/client.ts";
import { StreamSource } from "../../../../proxy/directory/stream.ts";
import { workloadAt } from "../../../../proxy/route/classify.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import { ip } from "../../proxy/route/world.ts";

const addressOf = (index: number): Ip => ip(`10.2.${index >> 8}.${index & 255}`);

const pod = (namespace: string, name: string, address: string): Pod => ({
  metadata: { namespace, name, uid: `uid-${namespace}-${name}`, resourceVersion: "1" },
  spec: { containers: [{ name: "app" }], serviceAccountName: name },
  status: { phase: "Running", podIP: address, podIPs: [{ ip: address }] },
});

const namespace = (name: string): Parameters<ClusterState["namespace"]>[0] => ({
  kind: "added",
  object: {
    metadata: { name, uid: `uid-${name}`, resourceVersion: "1", labels: { "tencrypt.io/project": "enabled" } },
  },
});

describe("addresses that a caller looked up", () => {
  test("are told when they move, once, and the oldest when there is no room for another of its kind", () => {
    const looked = new LookedUp();
    for (let index = 0; index < mostLookedUp; index++) looked.add(addressOf(index), true);
    looked.add("10.9.9.9", false);
    assert.equal(looked.isDue, false);
    looked.add("10.9.9.8", true);
    assert.deepEqual(looked.take(), ["10.2.0.0"]);
    for (const address of ["10.2.0.0", "10.2.0.1", "10.2.0.1", "10.9.9.9", "10.9.9.8"]) looked.moved(address);
    assert.deepEqual(looked.take(), ["10.2.0.1", "10.9.9.9", "10.9.9.8"]);
  });

  test("asked for again are the newest", () => {
    const looked = new LookedUp();
    for (let index = 0; index < mostLookedUp; index++) looked.add(addressOf(index), true);
    looked.add(addressOf(0), true);
    looked.add("10.9.9.8", true);
    assert.deepEqual(looked.take(), [addressOf(1)]);
  });

  test("are no more once the caller has not read what it was told of as many", () => {
    const looked = new LookedUp();
    for (let index = 0; index < 2 * mostLookedUp; index++) assert.equal(looked.add(addressOf(index), true), true);
    assert.equal(looked.add("10.9.9.8", true), false);
    looked.take();
    assert.equal(looked.add("10.9.9.8", true), true);
  });
});

/** A proxy's directory and a controller's streams in one process: what goes over the wire is handed over. */
async function connected(state: ClusterState) {
  const clock = manualClock();
  const caller = { project: "shop", podUid: "uid-shop-self", spiffeId: "" };
  const streams = new Streams({ state, clock, instance: "one", revisions: () => [], watching: () => {} });
  const client: DirectoryClient = {
    reached: () => Promise.resolve(),
    watch: (request: WatchRequest, { onMessage }: StreamHandlers<Update>) => {
      const write = (update: Update, written: () => void): void => {
        onMessage(update);
        written();
      };
      streams.open(Object.assign(new EventEmitter(), { request, write }) as unknown as WatchCall, caller);
      return () => {};
    },
    lookUp: async (address) => {
      assert.ok(streams.lookedUp(caller, address, true));
      return { pods: { pods: state.podsAt(address).map(toWorkload) }, revisions: [] };
    },
    close: () => {},
  };
  const source = await StreamSource.start({
    connect: async () => client,
    stateFolder: null,
    self: {
      project: "shop",
      podUid: "uid-shop-self",
      ips: new Set([ip("10.0.0.2")]),
      floor: "permissive",
      proxyPorts: new Set(),
    },
    clock,
    random: () => 0,
    log: silent,
  });
  source.renew({ roots: [] as readonly string[] } as Credentials);
  await new Promise((resolve) => setImmediate(resolve));
  const flush = (): void => {
    streams.changed();
    clock.advance(100);
  };
  // What came before is nothing new.
  flush();
  return {
    source,
    flush,
    nameAt: (address: Ip) => workloadAt(source.current() ?? assert.fail("no view"), address)?.pod,
  };
}

describe("a proxy that has looked up more than it remembers", () => {
  test("keeps no name of an address that another pod holds now", async () => {
    const state = new ClusterState({ defaultMode: "project", clusterRanges: ["10.0.0.0/8"] });
    state.namespace(namespace("shop"));
    state.pod({ kind: "added", object: pod("shop", "self", "10.0.0.2") });
    const many = Array.from({ length: mostLookedUp + 10 }, (_, index) => addressOf(index));
    for (const [index, address] of many.entries())
      state.pod({ kind: "added", object: pod("monitoring", `prometheus-${index}`, address) });
    const { source, flush, nameAt } = await connected(state);
    for (const address of many) assert.equal(await source.lookUp(address, false), "held");
    flush();
    assert.equal(nameAt(many[9]!), undefined);
    assert.equal(nameAt(many[10]!), "prometheus-10");
    for (const [index, address] of many.entries()) {
      state.pod({ kind: "removed", object: pod("monitoring", `prometheus-${index}`, address) });
      state.pod({ kind: "added", object: pod("other", `thief-${index}`, address) });
    }
    flush();
    assert.deepEqual(
      many.map(nameAt).filter((name) => name !== undefined),
      [],
    );
  });
});
