/** Look-ups of addresses on a real API server: many in a row, many at once, and of pods that no informer has seen yet. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { ServiceError } from "@grpc/grpc-js";
import { Lookup } from "../../../controller/directory/lookup.ts";
import type { LookupOutcome } from "../../../controller/directory/lookup.ts";
import { ClusterState } from "../../../controller/directory/state.ts";
import { systemClock } from "../../../lib/clock/clock.ts";
import { loadAccess } from "../../../lib/kube/access.ts";
import { KubeClient } from "../../../lib/kube/client.ts";
import type { Pod } from "../../../lib/kube/objects.ts";
import { runningStatus } from "../../cluster/objects.ts";
import { whyNoApiServer } from "../../cluster/api-server.ts";
import { Rig } from "./rig.ts";
import type { Controller, DirectoryReader } from "./rig.ts";

const why = whyNoApiServer();
const resourceExhausted = 8;

let rig: Rig;
let one: Controller;

before(async () => {
  if (why !== null) return;
  rig = await Rig.start();
  one = await rig.controller();
});
after(async () => {
  await rig?.stop();
});

async function readerIn(project: string): Promise<DirectoryReader> {
  await rig.project(project);
  return rig.directory(one, await rig.leafOf(await rig.pod(project, "self")));
}

const addresses = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}.${index + 1}`);

const codeOf = (error: ServiceError): number => error.code;

describe("look-ups", why === null ? {} : { skip: why }, () => {
  test("a hundred in a row are answered", async () => {
    const reader = await readerIn("patient");
    for (const address of addresses("10.4.1", 100)) {
      const { nobody } = await reader.lookUp(address);
      assert.ok(nobody !== undefined, address);
    }
  });

  test("a pod that asks without an end is refused what is too much, and another is answered meanwhile", async () => {
    const [greedy, modest] = [await readerIn("greedy"), await readerIn("modest")];
    // What is asked again within a second is answered at once, so that this goes beyond the rate on a busy machine too.
    const asked = addresses("10.4.2", 250).flatMap((address) => Array<string>(10).fill(address));
    const flood = Promise.all(asked.map((address) => greedy.lookUp(address).then(() => 0, codeOf)));
    for (const address of addresses("10.4.4", 20)) assert.ok((await modest.lookUp(address)).nobody !== undefined);
    const codes = await flood;
    assert.ok(codes.includes(0));
    assert.ok(codes.includes(resourceExhausted));
  });
});

const seen = (ip: string): Pod => ({
  metadata: { namespace: "seen", name: "seen", uid: "uid-seen", resourceVersion: "1" },
  spec: { containers: [{ name: "app" }] },
  status: { phase: "Running", podIP: ip, podIPs: [{ ip }] },
});

const told = (outcome: LookupOutcome): string =>
  outcome.kind === "no-answer"
    ? "no answer"
    : (outcome.holder.pods?.pods.map(({ project, pod }) => `${project}/${pod}`).join() ?? "nobody");

describe("a pod that no informer has seen", why === null ? {} : { skip: why }, () => {
  let client: KubeClient;

  before(async () => {
    if (why !== null) return;
    client = new KubeClient(loadAccess({ kubeconfig: rig.api.kubeconfig }), systemClock);
    await rig.project("dual");
    const spec = {};
    for (const [name, first, second] of [
      ["new", "10.4.5.1", "fd00:4:5::1"],
      ["newer", "fd00:4:5::2", "10.4.5.2"],
    ] as const) {
      await rig.api.objects.pod({ namespace: "dual", name, spec });
      const status = { ...runningStatus(first), podIPs: [{ ip: first }, { ip: second }] };
      await rig.api.objects.podStatus("dual", name, status);
    }
  });
  after(() => client?.close());

  /** As from a replica whose informers have seen one pod, listed by this address. */
  const lookupBeside = (ip: string): Lookup => {
    const state = new ClusterState({ defaultMode: "project", clusterRanges: [] });
    state.pod({ kind: "added", object: seen(ip) });
    return new Lookup(state, client, systemClock);
  };

  test("is found by the first address and by the second", async () => {
    const byV4 = lookupBeside("10.4.6.1");
    const byV6 = lookupBeside("fd00:4:6::1");
    const asked = [
      [byV4, "10.4.5.1"],
      [byV4, "fd00:4:5::1"],
      [byV6, "fd00:4:5::2"],
      [byV6, "10.4.5.2"],
    ] as const;
    const found = await Promise.all(asked.map(async ([lookup, ip]) => told(await lookup.find(ip, "asker"))));
    assert.deepEqual(found, ["dual/new", "dual/new", "dual/newer", "dual/newer"]);
    assert.equal(told(await byV4.find("fd00:4:5::77", "asker")), "nobody");
  });

  test("is looked for by many with few scans, and an API server that is away is no answer", async () => {
    const lookup = lookupBeside("10.4.6.1");
    const many = Array.from({ length: 100 }, (_, index) => `fd00:4:7::${index + 1}`);
    // Half of them at once: each waits for 2 s at most, which a busy machine needs for all.
    for (const half of [many.slice(0, 50), many.slice(50)]) {
      const found = await Promise.all(half.map(async (ip) => told(await lookup.find(ip, "asker"))));
      assert.deepEqual([...new Set(found)], ["nobody"]);
    }
    await rig.api.halt();
    assert.equal(told(await lookup.find("fd00:4:5::1", "asker")), "no answer");
    await rig.api.resume();
  });
});
