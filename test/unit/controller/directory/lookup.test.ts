/** A look-up's answer against what the informers learn while it is under way, and how long it is remembered. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Lookup } from "../../../../controller/directory/lookup.ts";
import type { LookupOutcome } from "../../../../controller/directory/lookup.ts";
import { ClusterState } from "../../../../controller/directory/state.ts";
import { KubeError } from "../../../../lib/kube/client.ts";
import type { KubeClient } from "../../../../lib/kube/client.ts";
import type { Pod } from "../../../../lib/kube/objects.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import type { ManualClock } from "../../../clock/manual-clock.ts";

const address = "10.0.0.9";

const podAt = (name: string, ip: string): Pod => ({
  metadata: { namespace: "shop", name, uid: `uid-${name}`, resourceVersion: "1" },
  spec: { containers: [{ name: "app" }] },
  status: { phase: "Running", podIP: ip, podIPs: [{ ip }] },
});

type Answer = (pods: readonly Pod[] | null) => void;

/** An API server whose answers are given by hand. */
class Store {
  readonly questions: Answer[] = [];
  readonly clock: ManualClock = manualClock();
  readonly state: ClusterState = new ClusterState({ defaultMode: "project", clusterRanges: [] });
  readonly lookup: Lookup;

  constructor() {
    const get = (path: string): Promise<unknown> =>
      new Promise((resolve, reject) =>
        this.questions.push((pods) =>
          pods === null ? reject(new KubeError(path, 0, "", "away")) : resolve({ metadata: {}, items: pods }),
        ),
      );
    this.lookup = new Lookup(this.state, { get } as unknown as KubeClient, this.clock);
    this.state.pod({ kind: "added", object: podAt("other", "10.0.0.2") });
  }

  /** Answers the question that was put last, once it was put. */
  async answer(pods: readonly Pod[] | null): Promise<void> {
    await settled();
    this.questions.at(-1)!(pods);
    await settled();
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const told = (outcome: LookupOutcome): string => {
  if (outcome.kind === "no-answer") return "no answer";
  return outcome.holder.pods?.pods.map(({ pod }) => pod).join() ?? "nobody";
};

describe("a look-up", () => {
  test("has its turn only until it is answered, and its answer counts for a second", async () => {
    const store = new Store();
    for (let count = 0; count < 200; count++) {
      const found = store.lookup.find(`10.0.1.${count}`, "pod-a");
      await store.answer([]);
      assert.equal(told(await found), "nobody");
    }
    assert.equal(store.questions.length, 200);
    assert.equal(told(await store.lookup.find("10.0.1.199", "pod-b")), "nobody");
    assert.equal(store.questions.length, 200);
    store.clock.advance(1_000);
    const again = store.lookup.find("10.0.1.199", "pod-b");
    await store.answer([podAt("new", "10.0.1.199")]);
    assert.equal(told(await again), "new");
  });

  test("of one caller does not wait for those of another", async () => {
    const store = new Store();
    for (let count = 0; count < 120; count++) void store.lookup.find(`10.0.2.${count}`, "pod-a");
    await settled();
    assert.equal(store.questions.length, 8);
    const found = store.lookup.find(address, "pod-b");
    await store.answer([]);
    assert.equal(told(await found), "nobody");
  });

  test("that nobody answers is not remembered", async () => {
    const store = new Store();
    const first = store.lookup.find(address, "pod-a");
    await store.answer(null);
    assert.equal(told(await first), "no answer");
    const second = store.lookup.find(address, "pod-a");
    await store.answer([]);
    assert.equal(told(await second), "nobody");
  });

  test("whose answer names a pod that has gone meanwhile is put again", async () => {
    const store = new Store();
    const found = store.lookup.find(address, "pod-a");
    await settled();
    const gone = podAt("gone", address);
    store.state.pod({ kind: "added", object: gone });
    store.state.pod({ kind: "removed", object: gone });
    await store.answer([gone]);
    await store.answer([]);
    assert.equal(told(await found), "nobody");
    assert.equal(store.questions.length, 2);
  });

  test("is not answered from memory once the address has moved", async () => {
    const store = new Store();
    const first = store.lookup.find(address, "pod-a");
    const gone = podAt("gone", address);
    await store.answer([gone]);
    assert.equal(told(await first), "gone");
    store.state.pod({ kind: "added", object: gone });
    store.state.pod({ kind: "removed", object: gone });
    const second = store.lookup.find(address, "pod-a");
    await store.answer([]);
    assert.equal(told(await second), "nobody");
  });
});
