/** In which backend of iptables rules stand is told for each node, from what tencrypt-init logged there. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { eventsIn, rulesSaid } from "../../../cli/checks/init-events.ts";
import { initLogs, judgeNodes, mostNodes } from "../../../cli/checks/nodes.ts";
import type { InitLog, PodFact } from "../../../cli/checks/facts.ts";
import { KubeError } from "../../../lib/kube/client.ts";
import type { KubeClient } from "../../../lib/kube/client.ts";
import { formatLine } from "../../../lib/log/log.ts";
import { protectedSpec } from "../../cluster/protected-pod.ts";
import { read } from "./facts.ts";

const line = (event: string, fields: object = {}): string => formatLine(0, "info", event, { ...fields });
const set = (backend: string): string =>
  line("rules_set", { family: "v4", backend }) + line("rules_set", { family: "v6", backend }) + line("done");
const unusable = line("backend_unusable", { backend: "nft", why: "Could not fetch rule set generation id" });
const failed = line("init_failed", { step: "set the v4 guard", why: "iptables-nft-restore: no such table" });

const log = (node: string, text: string): InitLog => ({ node, namespace: "shop", pod: "web", log: read(text) });
const told = (...logs: readonly InitLog[]): unknown =>
  judgeNodes({ nodes: logs.length, logs }).map(({ level, text, details, next }) => ({ level, text, details, next }));

describe("what init said", () => {
  for (const [what, text, wanted] of [
    ["its rules are set", set("nft"), { kind: "set", backend: "nft", unusable: [] }],
    ["it failed", failed, { kind: "failed", why: "set the v4 guard: iptables-nft-restore: no such table" }],
    ["it failed and then did not", failed + set("nft"), { kind: "set", backend: "nft", unusable: [] }],
    ["it was cut short", line("rules_set", { family: "v4", backend: "nft" }), { kind: "unsaid" }],
    ["its lines are no lines of ours", "unable to retrieve container logs\nnull\n[]\n{", { kind: "unsaid" }],
  ] as const)
    test(what, () => assert.deepEqual(rulesSaid(eventsIn(text)), wanted));
});

describe("TC-NODE-01", () => {
  test("is good where rules stand in nf_tables, and names how many nodes were looked at", () => {
    const text = "rules stand in nf_tables on 2 nodes with protected pods";
    assert.deepEqual(told(log("n1", set("nft")), log("n2", set("nft"))), [
      { level: "good", text, details: [], next: "" },
    ]);
    const [many] = judgeNodes({ nodes: 70, logs: [log("n1", set("nft"))] });
    assert.equal(many?.text, "rules stand in nf_tables on 1 of 70 nodes with protected pods");
  });

  test("warns of the legacy backend and of one that is unusable, and fails where init did", () => {
    const command = /^kubectl -n shop logs web -c tencrypt-init: /;
    for (const [text, level, details] of [
      [set("legacy"), "warning", ["n2 (shop/web): the rules stand in the legacy backend"]],
      [
        unusable + set("legacy"),
        "warning",
        [
          "n2 (shop/web): nft cannot be used: Could not fetch rule set generation id",
          "n2 (shop/web): the rules stand in the legacy backend",
        ],
      ],
      [unusable + failed, "failed", ["n2 (shop/web): set the v4 guard: iptables-nft-restore: no such table"]],
    ] as const) {
      const [finding] = judgeNodes({ nodes: 2, logs: [log("n1", set("nft")), log("n2", text)] });
      assert.deepEqual([finding?.level, finding?.details], [level, details]);
      assert.match(finding!.text, / on 1 of 2 nodes$/);
      assert.match(finding!.next, command);
    }
  });

  test("does not take a log that is not to be had for a good one, and says nothing where there is no pod", () => {
    const gone = { kind: "unreadable", what: "log of shop/web", why: "403 Forbidden" } as const;
    const [finding] = judgeNodes({ nodes: 2, logs: [log("n1", ""), { ...log("n2", ""), log: gone }] });
    assert.equal(finding?.level, "warning");
    assert.deepEqual(finding.details, ["n1 (shop/web): its log names none", "n2 (shop/web): 403 Forbidden"]);
    assert.deepEqual(told(), []);
  });
});

describe("of each node one pod is asked", () => {
  const done = { terminated: { exitCode: 0 } };
  const pod = (name: string, nodeName: string, state: object, hour = 1): PodFact =>
    ({
      metadata: {
        name,
        namespace: "shop",
        uid: name,
        resourceVersion: "1",
        creationTimestamp: `2026-11-27T0${hour}:00:00Z`,
      },
      spec: { containers: [], ...protectedSpec(), nodeName },
      status: { initContainerStatuses: [{ name: "tencrypt-init", state }] },
    }) as unknown as PodFact;
  const askedOf = async (pods: readonly PodFact[]): Promise<{ paths: readonly string[]; nodes: number }> => {
    const paths: string[] = [];
    const text = (path: string): Promise<string> => {
      paths.push(path.replace(/\?.*/, ""));
      return path.includes("/away/") ? Promise.reject(new KubeError("GET", 500, "", "kubelet")) : Promise.resolve("");
    };
    const { nodes } = await initLogs({ text } as unknown as KubeClient, pods);
    return { paths, nodes };
  };

  test("the one whose init failed, else the newest, and none whose init did not run", async () => {
    const pods = [
      pod("old", "n1", done, 1),
      pod("new", "n1", done, 2),
      pod("ok", "n2", done, 3),
      pod("crashed", "n2", { waiting: { reason: "CrashLoopBackOff" } }, 1),
      pod("away", "n3", done),
      pod("early", "n4", { waiting: { reason: "PodInitializing" } }),
    ];
    const names = ["new", "crashed", "away"].map((name) => `/api/v1/namespaces/shop/pods/${name}/log`);
    assert.deepEqual(await askedOf(pods), { paths: names, nodes: 3 });
  });

  test("of a bounded number of nodes", async () => {
    const many = Array.from({ length: mostNodes + 7 }, (_, index) => pod(`p${index}`, `n${index}`, done));
    const { paths, nodes } = await askedOf(many);
    assert.deepEqual([paths.length, nodes], [mostNodes, mostNodes + 7]);
  });
});
