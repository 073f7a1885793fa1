/** Which pods are told to be without a proxy, how often, and what the metric counts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { startReconciler, whyBare } from "../../../controller/unprotected.ts";
import type { KubeClient } from "../../../lib/kube/client.ts";
import { createEvents } from "../../../lib/kube/events.ts";
import type { EventNews, Regarding } from "../../../lib/kube/events.ts";
import type { Namespace, Pod } from "../../../lib/kube/objects.ts";
import { manualClock } from "../../clock/manual-clock.ts";
import { protectedSpec } from "../../cluster/protected-pod.ts";

const namespace = (annotations: Record<string, string> = {}, project = "enabled"): Namespace => ({
  metadata: {
    name: "shop",
    uid: "u",
    resourceVersion: "1",
    labels: { "tencrypt.io/project": project },
    annotations,
  },
});

type Change = { readonly annotations?: Record<string, string>; readonly spec?: object; readonly phase?: string };

const pod = (name: string, { annotations = {}, spec = {}, phase = "Running" }: Change = {}): Pod => ({
  metadata: { namespace: "shop", name, uid: `uid-${name}`, resourceVersion: "1", annotations },
  spec: { containers: [{ name: "app" }], ...spec },
  status: { phase },
});

/** Why a pod that should have a proxy has none. */
function unprotectedWhy(each: Pod, where: Namespace): string | null {
  const bare = whyBare(each, where);
  return bare?.kind === "unprotected" ? bare.why : null;
}

const inject = (value: string): Change => ({ annotations: { "tencrypt.io/inject": value } });

describe("a pod without a proxy", () => {
  test("is unprotected where its project and its author did not decide otherwise", () => {
    assert.match(unprotectedWhy(pod("old"), namespace()) ?? "", /first init container is not tencrypt-init/);
    const off = namespace({ "tencrypt.io/default-injection": "disabled" });
    const cases: readonly (readonly [Pod, Namespace, boolean])[] = [
      [pod("a", { spec: protectedSpec() }), namespace(), false],
      [pod("b"), namespace({}, "disabled"), false],
      [pod("c", { phase: "Succeeded" }), namespace(), false],
      [pod("d", { spec: { hostNetwork: true } }), namespace(), false],
      [pod("e", inject("disabled")), namespace(), false],
      [pod("f"), off, false],
      [pod("g", inject("enabled")), off, true],
      [pod("h", inject("yes")), off, true],
    ];
    for (const [each, where, expected] of cases)
      assert.equal(unprotectedWhy(each, where) !== null, expected, each.metadata.name);
  });

  test("is told at the pod again and again, and counted until it is gone", () => {
    const clock = manualClock();
    const pods = new Map([["old", pod("old")]]);
    const told: { readonly pod: Regarding; readonly news: EventNews }[] = [];
    const reconciler = startReconciler({
      pods,
      namespaces: { get: () => namespace() },
      events: { tell: (at, news) => told.push({ pod: at, news }) > 0 },
      clock,
    });
    assert.deepEqual([...reconciler.counts()], [["shop", 1]]);
    clock.advance(61_000);
    assert.equal(told.length, 2);
    assert.deepEqual(told[0]?.pod, { namespace: "shop", name: "old", uid: "uid-old" });
    assert.equal(told[0]?.news.reason, "Unprotected");
    pods.clear();
    assert.deepEqual([...reconciler.counts()], [["shop", 0]]);
    reconciler.stop();
    clock.advance(61_000);
    assert.equal(told.length, 2);
  });

  test("is judged once for each version of it and of its namespace, however often the metric is asked for", () => {
    let looks = 0;
    const watched = (each: Pod): Pod =>
      new Proxy(each, {
        get: (target, name) => {
          if (name === "spec") looks++;
          return Reflect.get(target, name) as unknown;
        },
      });
    const pods = new Map([["old", watched(pod("old"))]]);
    let where = namespace();
    const reconciler = startReconciler({
      pods,
      namespaces: { get: () => where },
      events: { tell: () => true },
      clock: manualClock(),
    });
    const looksAtCount = (): number => {
      looks = 0;
      reconciler.counts();
      return looks;
    };
    assert.ok(looksAtCount() > 0);
    assert.equal(looksAtCount(), 0);
    where = namespace({ "tencrypt.io/default-injection": "disabled" });
    assert.ok(looksAtCount() > 0);
    assert.deepEqual([...reconciler.counts()], [["shop", 0]]);
    pods.set("old", watched(pod("old", inject("enabled"))));
    assert.ok(looksAtCount() > 0);
    assert.deepEqual([...reconciler.counts()], [["shop", 1]]);
    reconciler.stop();
  });

  test("has its turn to be told, also where there are more than Events are written at a time", async () => {
    const clock = manualClock();
    const told = new Set<string>();
    const client = {
      create: async (_: string, { regarding }: { readonly regarding?: Regarding }) => void told.add(regarding!.name),
    } as unknown as KubeClient;
    const log = (): void => {};
    const events = createEvents({ client, clock, log, controller: "tencrypt.io/controller", instance: "one" });
    const names = Array.from({ length: 1_000 }, (_, index) => `pod-${index}`);
    const pods = new Map(names.map((name) => [name, pod(name)]));
    const where = namespace();
    const reconciler = startReconciler({ pods, namespaces: { get: () => where }, events, clock });
    for (let look = 0; look < 80; look++) {
      clock.advance(30_000);
      await new Promise((resolve) => void setImmediate(resolve));
    }
    reconciler.stop();
    assert.equal(told.size, names.length);
  });
});

describe("a pod that was skipped", () => {
  test("has the reason by which it was", () => {
    const off = namespace({ "tencrypt.io/default-injection": "disabled" });
    const cases: readonly (readonly [Pod, Namespace, string | null])[] = [
      [pod("a", { spec: { hostNetwork: true } }), namespace(), "host_network"],
      [pod("b", { spec: { os: { name: "windows" } } }), namespace(), "windows"],
      [pod("c", inject("disabled")), namespace(), "inject_disabled"],
      [pod("d"), off, "default_disabled"],
      [pod("e", { spec: { hostNetwork: true }, phase: "Succeeded" }), namespace(), null],
      [pod("f", { spec: { hostNetwork: true } }), namespace({}, "disabled"), null],
      [pod("g", { spec: protectedSpec() }), off, null],
      // What anybody may have written on it is no reason.
      [pod("h", { annotations: { "tencrypt.io/skipped": "host_network" } }), namespace(), null],
    ];
    for (const [each, where, expected] of cases) {
      const bare = whyBare(each, where);
      assert.equal(bare?.kind === "skipped" ? bare.reason : null, expected, each.metadata.name);
    }
  });

  type Said = readonly [name: string, type: string, reason: string, cause: string];
  type World = {
    readonly pods: Map<string, Pod>;
    readonly said: Said[];
    where: Namespace;
    room: number;
    look(): void;
    counts(): ReadonlyMap<string, number>;
  };

  function world(...each: readonly Pod[]): World {
    const clock = manualClock();
    const made: World = {
      pods: new Map(each.map((one) => [one.metadata.name, one])),
      said: [],
      where: namespace(),
      room: Number.POSITIVE_INFINITY,
      look: () => clock.advance(30_000),
      counts: () => reconciler.counts(),
    };
    const tell = ({ name }: Regarding, { type, reason, cause }: EventNews): boolean => {
      if (made.said.length >= made.room) return false;
      made.said.push([name, type, reason, cause]);
      return true;
    };
    const namespaces = { get: () => made.where };
    const reconciler = startReconciler({ pods: made.pods, namespaces, events: { tell }, clock });
    return made;
  }

  const host = (name: string): Pod => pod(name, { spec: { hostNetwork: true } });

  test("is told once, and again when it is for another reason; it is not counted", () => {
    const shop = world(host("net"));
    shop.look();
    shop.look();
    assert.deepEqual(shop.said, [["net", "Normal", "Skipped", "host_network"]]);
    assert.deepEqual([...shop.counts()], []);
    shop.pods.set("web", pod("web"));
    shop.where = namespace({ "tencrypt.io/default-injection": "disabled" });
    shop.look();
    shop.pods.set("web", pod("web", inject("disabled")));
    shop.look();
    shop.look();
    assert.deepEqual(shop.said.slice(1), [
      ["web", "Normal", "Skipped", "default_disabled"],
      ["web", "Normal", "Skipped", "inject_disabled"],
    ]);
  });

  test("waits for those that should be protected, and for room, and is told then", () => {
    const shop = world(host("net-1"), host("net-2"), pod("old"));
    shop.room = 2;
    shop.look();
    assert.deepEqual(
      shop.said.map(([name, type, reason]) => `${name} ${type} ${reason}`),
      ["old Warning Unprotected", "net-1 Normal Skipped"],
    );
    shop.pods.delete("old");
    shop.room = 4;
    shop.look();
    shop.look();
    assert.deepEqual(
      shop.said.slice(2).map(([name]) => name),
      ["net-2"],
    );
  });

  test("is forgotten when it is gone", () => {
    const shop = world(host("net"));
    shop.look();
    shop.pods.delete("net");
    shop.look();
    shop.pods.set("net", host("net"));
    shop.look();
    assert.equal(shop.said.length, 2);
  });
});
