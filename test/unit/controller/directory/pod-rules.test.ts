/**
 * What a pod lets in and out is told to that pod alone: nobody else decides by it, and the lists of the pods of a project and its
 * peers, each as long as an annotation may be, would be more than a proxy reads.
 */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { ClusterState } from "../../../../controller/directory/state.ts";
import { Streams } from "../../../../controller/directory/streams.ts";
import type { WatchCall } from "../../../../controller/directory/streams.ts";
import type { Pod } from "../../../../lib/kube/objects.ts";
import { parseIp } from "../../../../lib/net/address.ts";
import { Update } from "../../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import type { Workload } from "../../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { applyUpdate, snapshotOf } from "../../../../proxy/directory/knowledge.ts";
import type { Knowledge } from "../../../../proxy/directory/knowledge.ts";
import { buildView } from "../../../../proxy/route/policy.ts";
import type { Policy, Self } from "../../../../proxy/route/policy.ts";
import { manualClock } from "../../../clock/manual-clock.ts";

const pods = 300;
/** About what an API server takes of one object's annotations. */
const longest = Array.from({ length: 1_000 }, (_, index) => `shop/${"a".repeat(240)}-${index}`).join();
const largestUpdate = 64 * 1024 * 1024;

const narrow = {
  "dry-run": "strict",
  "node-sources": "refuse",
  "allow-egress": "203.0.113.0/24",
  "allow-ingress": "other/api",
};

function cart(index: number, said: Readonly<Record<string, string>>): Pod {
  const annotations = Object.fromEntries(Object.entries(said).map(([name, value]) => [`tencrypt.io/${name}`, value]));
  const metadata = { name: `cart-${index}`, namespace: "shop", uid: `uid-${index}`, resourceVersion: "1", annotations };
  const status = { phase: "Running", podIP: `10.0.${index >> 8}.${index & 255}` };
  return { metadata, spec: { containers: [{ name: "app" }] }, status };
}

function world(): ClusterState {
  const state = new ClusterState({ defaultMode: "project", clusterRanges: ["10.0.0.0/8"] });
  for (const [name, peer] of [
    ["shop", "crm"],
    ["crm", "shop"],
  ] as const) {
    const labels = { "tencrypt.io/project": "enabled" };
    const annotations = { "tencrypt.io/peers": `${peer}/uid-${peer}` };
    const metadata = { name, uid: `uid-${name}`, resourceVersion: "1", labels, annotations };
    state.namespace({ kind: "added", object: { metadata } });
  }
  for (let index = 0; index < pods; index++) {
    const object = cart(index, { "allow-from": longest, "allow-from-dry-run": "shop/web", ...narrow });
    state.pod({ kind: "added", object });
  }
  return state;
}

type Sent = { readonly size: number; readonly update: Update };

/** What comes out of the wire, update by update. */
function watching(
  state: ClusterState,
  project: string,
  podUid: string,
): { readonly sent: Sent[]; readonly changed: () => void } {
  const sent: Sent[] = [];
  const write = (update: Update, written: () => void): void => {
    const bytes = Update.encode(update).finish();
    sent.push({ size: bytes.length, update: Update.decode(bytes) });
    written();
  };
  const call = Object.assign(new EventEmitter(), { request: { version: 0n, resume: "", revisions: [] }, write });
  const clock = manualClock();
  const streams = new Streams({ state, clock, instance: "one", revisions: () => [], watching: () => {} });
  streams.open(call as unknown as WatchCall, { project, podUid, spiffeId: "" });
  const changed = (): void => {
    streams.changed();
    clock.advance(1_000);
  };
  return { sent, changed };
}

const rulesOf = (workload: Workload): object => {
  const { dryRun, nodeSources, allowEgress, allowIngress, allowFrom, allowFromDryRun } = workload;
  return { dryRun, nodeSources, allowEgress, allowIngress, allowFrom, allowFromDryRun };
};
const noRules = {
  dryRun: "",
  nodeSources: "",
  allowEgress: undefined,
  allowIngress: undefined,
  allowFrom: [],
  allowFromDryRun: [],
};
const ownRules = {
  dryRun: "strict",
  nodeSources: "refuse",
  allowEgress: { entries: ["203.0.113.0/24"] },
  allowIngress: { entries: ["other/api"] },
  allowFromDryRun: ["shop/web"],
};

for (const [project, podUid] of [
  ["shop", "uid-7"],
  ["crm", "uid-of-crm"],
] as const)
  test(`as a pod of ${project} is told`, () => {
    const { size, update } = watching(world(), project, podUid).sent[0]!;
    assert.equal(update.workloads.length, pods);
    assert.ok(size < largestUpdate / 64, `${size} bytes`);
    const told = update.workloads.filter((workload) => !isDeepStrictEqual(rulesOf(workload), noRules));
    assert.deepEqual(
      told.map((workload) => [workload.uid, { ...rulesOf(workload), allowFrom: workload.allowFrom.length }]),
      project === "shop" ? [[podUid, { ...ownRules, allowFrom: 1_000 }]] : [],
    );
    const applied = applyUpdate(null, update);
    assert.ok(applied.kind !== "refused");
    assert.notEqual(snapshotOf(applied.knowledge).kind, "refused");
  });

test("annotations of a running pod that become others are told to it, and hold as far as they narrow", () => {
  const state = world();
  const { sent, changed } = watching(state, "shop", "uid-7");
  const change = (old: Pod, object: Pod): void => {
    state.pod({ kind: "updated", old, object });
    changed();
  };
  change(cart(7, narrow), cart(7, {}));
  change(cart(7, {}), cart(7, { mode: "project", "allow-egress": "", "node-sources": "accept" }));
  assert.deepEqual(
    sent.slice(1).map(({ update }) => update.workloads.map(({ uid }) => uid)),
    [["uid-7"], ["uid-7"]],
  );
  const policies = sent.map((_, index) => policyAfter(sent.slice(0, index + 1)));
  assert.deepEqual(
    policies.map(({ mode, dryRun, nodeSources, allowEgress, allowIngress }) => [
      `${mode} ${dryRun} ${nodeSources}`,
      allowEgress.length,
      allowIngress.length,
    ]),
    [
      ["project strict refuse", 2, 2],
      ["project null null", 1, 1],
      ["project null null", 2, 1],
    ],
  );
});

function policyAfter(sent: readonly Sent[]): Policy {
  let knowledge: Knowledge | null = null;
  for (const { update } of sent) {
    const applied = applyUpdate(knowledge, update);
    assert.ok(applied.kind !== "refused");
    knowledge = applied.knowledge;
  }
  const parsed = snapshotOf(knowledge!);
  assert.ok(parsed.kind !== "refused");
  const ips = new Set([parseIp("10.0.0.7")!]);
  const self: Self = { project: "shop", podUid: "uid-7", ips, floor: "permissive", proxyPorts: new Set() };
  return buildView(parsed.snapshot, self).policy;
}
