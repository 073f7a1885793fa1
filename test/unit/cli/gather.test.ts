/** What `check` reads, from an API server that answers slowly and has more pods than those of projects. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gather } from "../../../cli/checks/gather.ts";
import { judgeCluster } from "../../../cli/checks/judge.ts";
import type { KubeClient } from "../../../lib/kube/client.ts";
import type { KubeObject } from "../../../lib/kube/objects.ts";
import { manualClock } from "../../clock/manual-clock.ts";

const object = (name: string, more: object = {}): KubeObject => ({
  metadata: { name, uid: name, resourceVersion: "1", ...more },
});
const lists: Readonly<Record<string, readonly KubeObject[]>> = {
  "/api/v1/namespaces": [object("shop", { labels: { "tencrypt.io/project": "enabled" } })],
  "/api/v1/pods": [object("cart", { namespace: "shop" }), object("log", { namespace: "other" })],
};

/** Nothing is installed on it; each answer takes as long as is said. */
function slowServer(clock: ReturnType<typeof manualClock>, answerMs: number): KubeClient {
  const after = <T>(value: T): Promise<T> => {
    clock.advance(answerMs);
    return Promise.resolve(value);
  };
  return {
    find: () => after(null),
    create: () => after({ status: { allowed: true } }),
    get: (path: string) => after({ gitVersion: "v1.36.3", items: lists[path.split("?")[0]!] ?? [], metadata: {} }),
    text: () => after(""),
    serverTime: () => after(clock.now() + answerMs),
  } as unknown as KubeClient;
}

test("an API server that takes long for its answers is not told to have another time", async () => {
  const clock = manualClock();
  const facts = await gather(slowServer(clock, 6_000), clock);
  assert.deepEqual(
    judgeCluster(facts).map(({ code, level }) => `${code} ${level}`),
    ["TC-K8S-01 good", "TC-K8S-02 failed", "TC-K8S-03 good", "TC-K8S-04 good"],
  );
});

test("of a large cluster only the pods of projects are kept", async () => {
  const clock = manualClock();
  const { pods } = await gather(slowServer(clock, 0), clock);
  assert.deepEqual(pods.kind === "read" ? pods.value.map(({ metadata }) => metadata.name) : pods, ["cart"]);
});
