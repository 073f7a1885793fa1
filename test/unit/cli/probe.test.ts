/** What the pods of `check --pre --probe` showed is told by node: what would not work there, and what is not known. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { judgeProbe } from "../../../cli/checks/judge-probe.ts";
import type { InitEvent } from "../../../cli/checks/init-events.ts";
import type { ProbedPod, ProbeFacts } from "../../../cli/checks/probe-facts.ts";
import { nodesToProbe, peerOf, probePod } from "../../../cli/checks/probe-objects.ts";
import { startProblem } from "../../../cli/checks/probe-status.ts";
import type { ProbePod } from "../../../cli/checks/probe-status.ts";
import { initSecurity } from "../../../lib/kube/sidecar-form.ts";
import type { Node } from "../../../lib/kube/objects.ts";

const serviceIp = "10.96.0.7";
const set: readonly InitEvent[] = [{ event: "rules_set", family: "v4", backend: "nft" }, { event: "done" }];
const seen = (source: string, peer = "10.244.0.2"): InitEvent => ({ event: "probe_seen_as", peer, source });
const failedWith = (step: string, why: string): InitEvent => ({ event: "init_failed", step, why });

const server: ProbedPod = {
  node: "n1",
  fault: null,
  ips: ["10.244.0.2"],
  events: [...set, { event: "probe_done" }],
  reach: { kind: "reached" },
};
const caller = (node: string, ip: string, changes: Partial<ProbedPod> = {}): ProbedPod => ({
  node,
  fault: null,
  ips: [ip],
  events: [...set, seen(ip), seen(ip, serviceIp), { event: "probe_done" }],
  reach: { kind: "reached" },
  ...changes,
});
const one = caller("n1", "10.244.0.3");
const two = caller("n2", "10.244.1.2");
const good: ProbeFacts = { pods: [server, one, two], serviceIp, unready: [], beyond: 0 };
const told = (changes: Partial<ProbeFacts>): readonly unknown[] =>
  judgeProbe({ ...good, ...changes })
    .filter(({ level }) => level !== "good")
    .map(({ code, level, details }) => [code, level, ...details]);
const withTwo = (changes: Partial<ProbedPod>): Partial<ProbeFacts> => ({ pods: [server, one, { ...two, ...changes }] });

test("where all is well, each of the four says on how many nodes", () => {
  assert.deepEqual(
    judgeProbe(good).map(({ section, code, level, text }) => `${section} ${code} ${level} ${text}`),
    [
      "nodes TC-NODE-02 good pods start with NET_ADMIN on 2 nodes",
      "nodes TC-NODE-03 good rules can be set and proven in nf_tables on 2 nodes",
      "network TC-NET-01 good pods of 2 nodes are seen at their own addresses, through a Service too",
      "network TC-NET-02 good the API server reaches pods of 2 nodes",
    ],
  );
});

test("a pod that does not start says nothing of the rest, of which other nodes still tell", () => {
  const away = { fault: "ImagePullBackOff: no such image", events: [], ips: [], reach: null };
  assert.deepEqual(told(withTwo(away)), [["TC-NODE-02", "failed", "n2: ImagePullBackOff: no such image"]]);
});

test("NET_ADMIN that is not given is no fault of the kernel", () => {
  const events = [failedWith("look at capabilities", "NET_ADMIN is missing"), ...two.events.slice(2)];
  assert.deepEqual(told(withTwo({ events })), [["TC-NODE-02", "failed", "n2: NET_ADMIN is not given"]]);
});

describe("rules that cannot be set as they are meant", () => {
  const rest = two.events.slice(2);
  test("fail", () => {
    const events = [failedWith("set the v4 guard", "no nf_tables"), ...rest];
    assert.deepEqual(told(withTwo({ events })), [["TC-NODE-03", "failed", "n2: set the v4 guard: no nf_tables"]]);
  });
  test("in the legacy backend are a warning", () => {
    const events = [{ event: "rules_set", family: "v4", backend: "legacy" }, { event: "done" }, ...rest];
    assert.deepEqual(told(withTwo({ events })), [
      ["TC-NODE-03", "warning", "n2: the rules stand in the legacy backend"],
    ]);
  });
});

describe("SNAT", () => {
  test("towards a pod, and towards a Service alone, fails with who is seen", () => {
    const own = "10.244.1.2";
    for (const [events, why] of [
      [[seen("10.0.0.12"), seen(own, serviceIp)], "n2: seen by a pod as 10.0.0.12, and is 10.244.1.2"],
      [[seen(own), seen("10.0.0.12", serviceIp)], "n2: seen through a Service as 10.0.0.12, and is 10.244.1.2"],
      [
        [{ event: "probe_unanswered", peer: "10.244.0.2", why: "ECONNREFUSED" }, seen(own, serviceIp)],
        "n2: no answer by a pod: ECONNREFUSED",
      ],
    ] as const)
      assert.deepEqual(told(withTwo({ events: [...set, ...events] })), [["TC-NET-01", "failed", why]]);
  });

  test("is not known where nobody was there to see", () => {
    const away = { ...server, fault: "OutOfpods", events: [], reach: null };
    const unanswered = { event: "probe_unanswered", peer: serviceIp, why: "timeout" };
    const pods = [away, { ...two, events: [...set, unanswered] }];
    assert.deepEqual(told({ pods }), [
      ["TC-NODE-02", "failed", "n1: OutOfpods"],
      ["TC-NET-01", "warning"],
    ]);
  });
});

test("a pod that the API server does not reach fails, one that the user may not ask for is not known", () => {
  assert.deepEqual(told(withTwo({ reach: { kind: "unreached", why: "503 timeout" } })), [
    ["TC-NET-02", "failed", "n2: 503 timeout"],
  ]);
  assert.deepEqual(told(withTwo({ reach: { kind: "unknown", why: "403" } })), [["TC-NET-02", "warning", "n2: 403"]]);
});

test("nodes that were not looked at are told, and nothing is good of none", () => {
  assert.deepEqual(told({ unready: ["n3"], beyond: 4 }), [
    ["TC-NODE-02", "warning", "n3: not ready, and not looked at", "4 more: not looked at"],
  ]);
  assert.deepEqual(
    told({ pods: [] }).map((finding) => (finding as readonly string[])[1]),
    ["warning", "warning", "warning", "warning"],
  );
});

describe("a pod of the probe", () => {
  test("has of injection's container image, rights and mounts, and stands where it is told", () => {
    const { spec } = probePod("caller-0", "n2", { image: "x/init:1", pullPolicy: "Always" }, ["10.0.0.1:15017"]) as {
      readonly spec: { readonly containers: readonly Record<string, unknown>[]; readonly [field: string]: unknown };
    };
    const [container] = spec.containers;
    assert.equal(spec["nodeName"], "n2");
    assert.deepEqual(container!["securityContext"], initSecurity);
    assert.deepEqual(container!["args"], ["dist/init/main.js", "--probe", "10.0.0.1:15017"]);
    assert.deepEqual([container!["image"], container!["imagePullPolicy"]], ["x/init:1", "Always"]);
    assert.equal(peerOf("fd00::1", 443), "[fd00::1]:443");
  });

  test("stands on nodes that are ready and not of Windows, on a bounded number of them", () => {
    const node = (name: string, isReady: boolean, os = "linux"): Node =>
      ({
        metadata: { name, uid: name, resourceVersion: "1", labels: { "kubernetes.io/os": os } },
        status: { conditions: [{ type: "Ready", status: isReady ? "True" : "Unknown" }] },
      }) as unknown as Node;
    const nodes = [node("a", true), node("w", true, "windows"), node("b", false), node("c", true), node("d", true)];
    assert.deepEqual(nodesToProbe(nodes, 2), { chosen: ["a", "c"], unready: ["b"], beyond: 1 });
  });

  test("is not waited for where it will not start", () => {
    const pod = (status: object): ProbePod => ({ status }) as ProbePod;
    const waiting = (reason: string): ProbePod =>
      pod({ phase: "Pending", containerStatuses: [{ name: "x", state: { waiting: { reason, message: "m" } } }] });
    assert.equal(startProblem(waiting("ContainerCreating")), null);
    assert.equal(startProblem(waiting("ErrImagePull")), null);
    assert.equal(startProblem(waiting("ImagePullBackOff")), "ImagePullBackOff: m");
    assert.equal(
      startProblem(pod({ phase: "Failed", reason: "OutOfpods", message: "too many" })),
      "OutOfpods: too many",
    );
    assert.equal(startProblem(pod({ phase: "Running" })), null);
  });
});
