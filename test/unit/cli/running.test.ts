/** What `check` says of injected pods that do not come up, and what is to be done. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Finding } from "../../../cli/checks/codes.ts";
import type { Facts, PodFact } from "../../../cli/checks/facts.ts";
import { judgeInstallation, judgeOne } from "../../../cli/checks/judge.ts";
import { report } from "../../../cli/commands/check.ts";
import { newRoot } from "../../../ca/issue/authority.ts";
import { pinOfPem } from "../../../lib/trust/bundle.ts";
import { protectedSpec } from "../../cluster/protected-pod.ts";
import { goodFacts, now, read } from "./facts.ts";

const shop = {
  metadata: { name: "shop", uid: "1", resourceVersion: "1", labels: { "tencrypt.io/project": "enabled" } },
};
const minutesAgo = (minutes: number): string => new Date(now - minutes * 60_000).toISOString();

const [init, proxy] = ["tencrypt-init", "tencrypt-proxy"] as const;
const waiting = (reason?: string): object => ({ waiting: reason === undefined ? {} : { reason } });
const running = (startedAt: string): object => ({ running: { startedAt } });
const done = { terminated: { exitCode: 0 } };

const pod = (containers: object, metadata: object = {}): PodFact =>
  ({
    metadata: { name: "web", namespace: "shop", uid: "2", resourceVersion: "1", ...metadata },
    spec: { containers: [], ...protectedSpec() },
    status: {
      initContainerStatuses: Object.entries(containers).map(([name, status]) => ({ name, ...(status as object) })),
    },
  }) as unknown as PodFact;

const facts: Facts = {
  ...goodFacts,
  authorities: read([null, "shop"].map((project) => ({ project, notAfter: now + 700 * 86_400_000 }))),
  projects: read([shop]),
};
const found = (...pods: readonly PodFact[]): readonly Finding[] =>
  judgeInstallation({ ...facts, pods: read(pods) }).filter(({ level }) => level !== "good");
const told = (...pods: readonly PodFact[]): readonly unknown[] =>
  found(...pods).map(({ code, level, details }) => [code, level, ...details]);

describe("a pod that comes up, or has, has no fault", () => {
  for (const [what, containers] of [
    ["not scheduled", {}],
    ["being made", { [init]: { state: waiting("ContainerCreating") }, [proxy]: { state: waiting("PodInitializing") } }],
    ["without a reason", { [init]: { state: waiting() } }],
    [
      "its rules being set",
      { [init]: { state: running(minutesAgo(0)) }, [proxy]: { state: waiting("PodInitializing") } },
    ],
    ["its proxy asking", { [init]: { state: done }, [proxy]: { started: false, state: running(minutesAgo(0.5)) } }],
    ["up", { [init]: { state: done }, [proxy]: { started: true, ready: true, state: running(minutesAgo(60)) } }],
  ] as const)
    test(what, () => assert.deepEqual(told(pod(containers)), []));

  test("about to end, its proxy not ready any more", () => {
    const ending = { [init]: { state: done }, [proxy]: { started: true, ready: false, state: running(minutesAgo(9)) } };
    assert.deepEqual(told(pod(ending, { deletionTimestamp: minutesAgo(0) })), []);
  });
});

describe("a pod without its rules", () => {
  for (const [reason, state] of [
    ["CrashLoopBackOff", waiting("CrashLoopBackOff")],
    ["ImagePullBackOff", waiting("ImagePullBackOff")],
    ["CreateContainerConfigError", waiting("CreateContainerConfigError")],
    ["ended with status 77", { terminated: { exitCode: 77 } }],
  ] as const)
    test(reason, () =>
      assert.deepEqual(told(pod({ [init]: { state }, [proxy]: { state: waiting("PodInitializing") } })), [
        ["TC-PRJ-03", "failed", `web: ${reason}`],
      ]),
    );

  test("is told with commands that name it", () => {
    const [finding] = found(pod({ [init]: { state: waiting("CrashLoopBackOff") } }));
    assert.equal(
      finding?.next,
      "kubectl -n shop describe pod web; kubectl -n shop logs web -c tencrypt-init: nodes need nf_tables in the kernel",
    );
  });
});

describe("a pod whose proxy does not work", () => {
  const withProxy = (status: object): PodFact => pod({ [init]: { state: done }, [proxy]: status });
  for (const [what, status, why] of [
    ["has no image", { started: false, state: waiting("ErrImagePull") }, "ErrImagePull"],
    ["crashes", { started: false, state: waiting("CrashLoopBackOff") }, "CrashLoopBackOff"],
    ["has ended", { started: false, state: { terminated: { exitCode: 64 } } }, "ended with status 64"],
    ["gets no certificate", { started: false, state: running(minutesAgo(5)) }, "not ready 300 s after its start"],
    ["has lost its certificate", { started: true, ready: false, state: running(minutesAgo(5)) }, "not ready any more"],
  ] as const)
    test(what, () => assert.deepEqual(told(withProxy(status)), [["TC-PRJ-08", "failed", `web: ${why}`]]));

  test("is told with commands that name it, also to who sees one project alone", () => {
    const away = withProxy({ started: false, state: running(minutesAgo(5)) });
    const { rootPem, inits } = facts;
    const [finding] = judgeOne(shop, [away], { rootPem, now, inits }).filter(({ level }) => level !== "good");
    assert.equal(finding?.code, "TC-PRJ-08");
    assert.equal(
      finding.next,
      "kubectl -n shop describe pod web; kubectl -n shop logs web -c tencrypt-proxy: what it waits for",
    );
  });
});

test("pods that believe another root are told with the command that restarts them", () => {
  const spec = protectedSpec();
  const [first, second] = spec.initContainers;
  const pins = { name: "TENCRYPT_CA_ROOT_PINS", value: pinOfPem(newRoot(now).certificate) };
  const env = [...second!.env!.filter(({ name }) => name !== pins.name), pins];
  const stranger = (name: string, owner: object): PodFact =>
    ({
      ...pod({}, { name, ...owner }),
      spec: { ...spec, containers: [], initContainers: [first, { ...second, env }] },
    }) as unknown as PodFact;
  const owned = { ownerReferences: [{ kind: "StatefulSet", name: "db", controller: true }] };
  const findings = found(stranger("db-0", owned), stranger("db-1", owned), stranger("bare", {}));
  assert.deepEqual(
    findings.map(({ code, next }) => [code, next]),
    [["TC-PRJ-04", "kubectl -n shop rollout restart StatefulSet/db; make again: Pod/bare"]],
  );
});

test("of many workloads no command is cut in the middle, and JSON holds all of them", () => {
  const bare = Array.from({ length: 12 }, (_, index): PodFact => {
    const name = `w${String(index).padStart(2, "0")}`;
    const ownerReferences = [{ kind: "StatefulSet", name, controller: true }];
    return {
      metadata: { ...shop.metadata, labels: {}, name: `${name}-0`, namespace: "shop", ownerReferences },
      spec: { containers: [] },
    };
  });
  const findings = found(...bare);
  assert.equal(
    findings[0]?.next,
    "kubectl -n shop rollout restart StatefulSet/w00 StatefulSet/w01 StatefulSet/w02 StatefulSet/w03 StatefulSet/w04; and 7 more, which tencrypt status shop names; tencrypt explain started_before_project",
  );
  assert.equal(findings[0].details.length, 12);
  const text = report(findings, { color: false });
  assert.match(text, /w09-0 .*\n {6}and 2 more\n {6}next: /);
  assert.doesNotMatch(text, /w10-0/);
});
