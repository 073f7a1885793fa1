/**
 * Whom a pod lets in is told to that pod alone: nobody else decides by it, and the lists of the pods of a project and its
 * peers, each as long as an annotation may be, would be more than a proxy reads.
 */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { ClusterState } from "../../../../controller/directory/state.ts";
import { Streams } from "../../../../controller/directory/streams.ts";
import type { WatchCall } from "../../../../controller/directory/streams.ts";
import { Update } from "../../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { applyUpdate, snapshotOf } from "../../../../proxy/directory/knowledge.ts";
import { manualClock } from "../../../clock/manual-clock.ts";

const pods = 300;
/** About what an API server takes of one object's annotations. */
const longest = Array.from({ length: 1_000 }, (_, index) => `shop/${"a".repeat(240)}-${index}`).join();
const largestUpdate = 64 * 1024 * 1024;

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
    const annotations = { "tencrypt.io/allow-from": longest, "tencrypt.io/allow-from-dry-run": "shop/web" };
    const metadata = {
      name: `cart-${index}`,
      namespace: "shop",
      uid: `uid-${index}`,
      resourceVersion: "1",
      annotations,
    };
    const status = { phase: "Running", podIP: `10.0.${index >> 8}.${index & 255}` };
    state.pod({ kind: "added", object: { metadata, spec: { containers: [{ name: "app" }] }, status } });
  }
  return state;
}

/** As it comes out of the wire. */
function sentTo(
  state: ClusterState,
  project: string,
  podUid: string,
): { readonly size: number; readonly update: Update } {
  const updates: Update[] = [];
  const call = Object.assign(new EventEmitter(), {
    request: { version: 0n, resume: "", revisions: [] },
    write: (update: Update) => void updates.push(update),
  });
  const parts = { clock: manualClock(), instance: "one", revisions: () => [], watching: () => {} };
  new Streams({ state, ...parts }).open(call as unknown as WatchCall, { project, podUid, spiffeId: "" });
  const bytes = Update.encode(updates[0]!).finish();
  return { size: bytes.length, update: Update.decode(bytes) };
}

for (const [project, podUid] of [
  ["shop", "uid-7"],
  ["crm", "uid-of-crm"],
] as const)
  test(`as a pod of ${project} is told`, () => {
    const { size, update } = sentTo(world(), project, podUid);
    assert.equal(update.workloads.length, pods);
    assert.ok(size < largestUpdate / 64, `${size} bytes`);
    const told = update.workloads.filter(
      ({ allowFrom, allowFromDryRun }) => allowFrom.length + allowFromDryRun.length > 0,
    );
    assert.deepEqual(
      told.map(({ uid, allowFrom, allowFromDryRun }) => [uid, allowFrom.length, allowFromDryRun]),
      project === "shop" ? [[podUid, 1_000, ["shop/web"]]] : [],
    );
    const applied = applyUpdate(null, update);
    assert.ok(applied.kind !== "refused");
    assert.notEqual(snapshotOf(applied.knowledge).kind, "refused");
  });
