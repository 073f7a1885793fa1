/** What `check` reads, from an API server that answers slowly and has more pods than those of projects. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gather } from "../../../cli/checks/gather.ts";
import { judgeCluster, judgeInstallation } from "../../../cli/checks/judge.ts";
import { KubeError } from "../../../lib/kube/client.ts";
import type { KubeClient } from "../../../lib/kube/client.ts";
import type { KubeObject } from "../../../lib/kube/objects.ts";
import { rendered } from "../../chart/rendered.ts";
import { manualClock } from "../../clock/manual-clock.ts";
import { goodFacts } from "./facts.ts";

const object = (name: string, more: object = {}): KubeObject & { readonly spec: object } => ({
  metadata: { name, uid: name, resourceVersion: "1", ...more },
  spec: { containers: [] },
});
const lists: Readonly<Record<string, readonly KubeObject[]>> = {
  "/api/v1/namespaces": [object("shop", { labels: { "tencrypt.io/project": "enabled" } })],
  "/api/v1/pods": [object("cart", { namespace: "shop" }), object("log", { namespace: "other" })],
};

test("whoever may not make one kind of the chart's objects is told so", async () => {
  const clock = manualClock();
  const client = Object.assign(slowServer(clock, 0), { create: () => Promise.resolve({ status: { allowed: false } }) });
  const { forbidden } = await gather(client, clock);
  const objects = rendered("default") as readonly { readonly kind: string; readonly metadata: object }[];
  // The test's Pod is made when somebody asks for it.
  const kinds = new Set(objects.map(({ kind }) => kind.toLowerCase()).filter((kind) => kind !== "pod"));
  const plural = (kind: string): string => (kind.endsWith("y") ? `${kind.slice(0, -1)}ies` : `${kind}s`);
  assert.deepEqual(forbidden.toSorted(), [...kinds, "secret"].map((kind) => `create ${plural(kind)}`).toSorted());
});

test("why a replica of the ca does not show its metrics is told, and those of the others are not taken for all", async () => {
  const metricsOf = (name: string): Promise<string> =>
    name === "ca-1"
      ? Promise.resolve("tencrypt_ca_source_mismatches_total 0\n")
      : Promise.reject(new KubeError(`GET ${name}`, 503, "ServiceUnavailable", "dial tcp 10.0.0.9:15014: i/o timeout"));
  const told = async (...replicas: readonly string[]): Promise<readonly unknown[]> => {
    const clock = manualClock();
    const path = "/api/v1/namespaces/tencrypt-ca/pods";
    const client = Object.assign(slowServer(clock, 0), {
      get: (asked: string) =>
        Promise.resolve({
          gitVersion: "v1.36.3",
          items: asked.startsWith(`${path}?`) ? replicas.map((name) => object(name)) : [],
          metadata: {},
        }),
      text: (asked: string) => metricsOf(asked.slice(path.length + 1).split(":")[0]!),
    });
    const facts = { ...(await gather(client, clock)), ca: goodFacts.ca };
    const finding = judgeInstallation(facts).find(({ code }) => code === "TC-CA-03");
    return [finding?.level, ...(finding?.details ?? [])];
  };
  const why = "GET ca-2: 503 ServiceUnavailable: dial tcp 10.0.0.9:15014: i/o timeout";
  assert.deepEqual(await told("ca-1"), ["good"]);
  assert.deepEqual(await told("ca-1", "ca-2"), ["warning", why]);
  assert.deepEqual(await told("ca-2"), ["warning", why]);
  assert.deepEqual(await told(), ["warning", "no pod of the ca is there"]);
});

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
