/** Which pods are told to be unprotected, how often, and what the metric counts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { startReconciler, unprotectedWhy } from "../../../controller/unprotected.ts";
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
