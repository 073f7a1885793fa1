/** A pod is tried in a project, and what the API server says of it is a finding: only its webhooks' silence is their fault. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Trial } from "../../../cli/checks/facts.ts";
import { judgeInstallation } from "../../../cli/checks/judge.ts";
import { tryPod } from "../../../cli/checks/trial.ts";
import { KubeError } from "../../../lib/kube/client.ts";
import type { KubeClient } from "../../../lib/kube/client.ts";
import type { Namespace } from "../../../lib/kube/objects.ts";
import { protectedSpec } from "../../cluster/protected-pod.ts";
import { goodFacts } from "./facts.ts";

const project = (name: string, more: object = {}): Namespace => ({
  metadata: { name, uid: name, resourceVersion: "1", labels: { "tencrypt.io/project": "enabled" }, ...more },
});
const asked: string[] = [];
/** `mutating`: names of webhooks, for who lists them. */
const answering = (
  answer: () => Promise<unknown>,
  mutating: () => Promise<readonly string[]> = () => Promise.resolve([]),
): KubeClient =>
  ({
    create: (path: string) => {
      asked.push(path);
      return answer();
    },
    get: async () => ({
      items: [{ metadata: { name: "policies" } }, { webhooks: (await mutating()).map((name) => ({ name })) }],
      metadata: {},
    }),
  }) as unknown as KubeClient;
const refusing = (
  code: number,
  reason: string,
  message: string,
  mutating?: () => Promise<readonly string[]>,
): KubeClient => answering(() => Promise.reject(new KubeError("POST pods", code, reason, message)), mutating);
const forbidden = (): Promise<never> => Promise.reject(new KubeError("GET webhooks", 403, "Forbidden", "no"));
const denial = (webhook: string): string => `admission webhook "${webhook}" denied the request: no`;

const told = async (client: KubeClient): Promise<readonly unknown[]> => {
  const trial = await tryPod(client, [project("shop")]);
  const finding = judgeInstallation({ ...goodFacts, trial }).find(({ code }) => code === "TC-WH-04");
  return [trial?.kind, finding?.level, finding?.details.length];
};

describe("a pod that is tried", () => {
  test("and would be protected", async () => {
    asked.length = 0;
    assert.deepEqual(await told(answering(() => Promise.resolve({ spec: protectedSpec() }))), ["reached", "good", 0]);
    assert.deepEqual(asked, ["/api/v1/namespaces/shop/pods?dryRun=All"]);
  });
  test("and would be bare", async () =>
    assert.deepEqual(await told(answering(() => Promise.resolve({ spec: { containers: [] } }))), [
      "bare",
      "failed",
      0,
    ]));
  test("and whose webhook is not reached", async () => {
    const why = 'Internal error occurred: failed calling webhook "inject.tencrypt.io": context deadline exceeded';
    assert.deepEqual(await told(refusing(500, "InternalError", why)), ["unreached", "failed", 1]);
  });
  for (const why of [
    'pods "x" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=5, limited: pods=5',
    'pods "x" is forbidden: failed quota: cpu: must specify limits.cpu for: check',
    'pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false',
    "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'labels' with binding 'labels' denied request: no team",
    denial("validation.gatekeeper.sh"),
    denial("inject.tencrypt.io"),
  ])
    test(`and refused after the webhooks had seen it: ${why}`, async () =>
      assert.deepEqual(await told(refusing(403, "Forbidden", why)), ["reached", "good", 0]));
  for (const [what, client] of [
    ["by somebody who may not", refusing(403, "Forbidden", 'User "dev" cannot create resource "pods"')],
    ["where another webhook is away", refusing(500, "InternalError", 'failed calling webhook "policy.other.io": EOF')],
    [
      "and denied by one that changes pods",
      refusing(403, "", denial("a.other.io"), async () => ["b.io", "a.other.io"]),
    ],
    ["and denied, and nobody may say by what", refusing(403, "", denial("a.other.io"), forbidden)],
    ["and not answered", refusing(0, "", "no byte for 10000 ms")],
  ] as const)
    test(what, async () => assert.deepEqual(await told(client), ["unknown", "warning", 1]));
});

test("nothing is tried where no pod would be injected, and nothing said", async () => {
  const never = answering(() => Promise.reject(new Error("asked")));
  const trial: Trial | null = await tryPod(never, [
    project("off", { labels: { "tencrypt.io/project": "true" } }),
    project("kube-system"),
    project("ending", { deletionTimestamp: "2026-11-27T00:00:00Z" }),
    project("asking", { annotations: { "tencrypt.io/default-injection": "disabled" } }),
  ]);
  assert.equal(trial, null);
  assert.equal(
    judgeInstallation({ ...goodFacts, trial }).find(({ code }) => code === "TC-WH-04"),
    undefined,
  );
});
