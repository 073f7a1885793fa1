/** Updates of the stream: taken as a whole or not at all, in order, read entry by entry. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Update } from "../../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { parseIp } from "../../../../lib/net/address.ts";
import { applyUpdate, documentOf, restoreKnowledge, snapshotOf } from "../../../../proxy/directory/knowledge.ts";
import type { Knowledge } from "../../../../proxy/directory/knowledge.ts";
import { cluster, service, update, whole, workload } from "./updates.ts";

function applied(before: Knowledge | null, next: Update): Knowledge {
  const outcome = applyUpdate(before, next);
  return outcome.kind === "applied" ? outcome.knowledge : assert.fail(outcome.problems.join());
}

const pods = (knowledge: Knowledge): readonly string[] =>
  [...knowledge.workloads.values()].map(({ read }) => read.pod).toSorted();

function reasonOf(before: Knowledge | null, next: Update): string {
  const outcome = applyUpdate(before, next);
  return outcome.kind === "refused" ? `${outcome.reason}: ${outcome.problems.join()}` : assert.fail("was applied");
}

test("of each kind the newest revision stays, whatever later updates say: nobody is gone back with", () => {
  const revisionsOf = ({ revisions }: Knowledge): string =>
    revisions.map(({ kind, resourceVersion }) => `${kind} ${resourceVersion}`).join();
  const first = applied(
    null,
    whole(1n, {
      revisions: [
        { kind: "pods", resourceVersion: 7n },
        { kind: "nodes", resourceVersion: 5n },
      ],
    }),
  );
  const lower = applied(first, update(2n, { revisions: [{ kind: "pods", resourceVersion: 0n }] }));
  assert.equal(revisionsOf(lower), "pods 7,nodes 5");
  const other = applied(lower, whole(3n, { revisions: [{ kind: "nodes", resourceVersion: 6n }] }));
  assert.equal(revisionsOf(other), "pods 7,nodes 6");
});

describe("an update", () => {
  test("adds, replaces and removes entries; the rest stays as it was read", () => {
    const first = applied(null, whole(1n));
    const second = applied(first, update(2n, { workloads: [workload("cart-2", "10.0.0.2")] }));
    assert.deepEqual(pods(second), ["cart-1", "cart-2"]);
    assert.equal(second.services, first.services);
    const third = applied(
      second,
      update(3n, { removedWorkloads: ["uid-cart-1"], workloads: [workload("cart-2", "10.0.0.3")] }),
    );
    const built = snapshotOf(third);
    assert.ok(built.kind === "snapshot");
    assert.deepEqual([...built.snapshot.holders.keys()], [parseIp("10.0.0.3")]);
    assert.equal(built.snapshot.version, 3);
  });

  test("that is whole leaves nothing of before", () => {
    const first = applied(null, whole(1n));
    const second = applied(first, whole(2n, { workloads: [workload("other", "10.0.0.9")], services: [] }));
    assert.deepEqual(pods(second), ["other"]);
    assert.equal(second.services.size, 0);
  });

  test("may take an entry away and bring it back", () => {
    const next = update(2n, { removedServices: ["shop/web"], services: [service("web", "10.96.0.2")] });
    const [read] = applied(applied(null, whole(1n)), next).services.values();
    assert.deepEqual(read?.read.vips, [parseIp("10.96.0.2")]);
  });

  test("is refused if it is not newer, or has nothing to change", () => {
    const first = applied(null, whole(5n));
    assert.match(reasonOf(first, whole(5n)), /^directory_not_newer: version 5 after 5/);
    assert.match(reasonOf(null, update(1n, {})), /^directory_malformed: changes without a state/);
    assert.match(reasonOf(null, whole(1n, { cluster: undefined })), /^directory_malformed: cluster: missing/);
  });

  test("is refused whole if one entry is wrong, or a feature is not known", () => {
    const first = applied(null, whole(1n));
    const wrong = update(2n, { workloads: [workload("good", "10.0.0.2"), workload("bad", "10.0.0.300")] });
    assert.match(reasonOf(first, wrong), /^directory_malformed: "pod shop\/bad"\.ips\[0\]: not an IP address/);
    assert.deepEqual(pods(first), ["cart-1"]);
    const future = whole(2n, { cluster: { ...cluster, requires: ["time-travel"] } });
    assert.match(reasonOf(first, future), /^directory_requires_unknown_feature: .*time-travel/);
  });
});

describe("the state", () => {
  test("with an address that two Services claim gives no snapshot", () => {
    const twice = applied(null, whole(1n, { services: [service("a", "10.96.0.1"), service("b", "10.96.0.1")] }));
    const built = snapshotOf(twice);
    assert.ok(built.kind === "refused");
    assert.match(built.problems[0] ?? "", /services shop\/b: address 10\.96\.0\.1 is already that of Service shop\/a/);
  });

  test("as a document is read back as the same", () => {
    const knowledge = applied(null, whole(7n));
    const { version, resume, revisions } = knowledge;
    const again = restoreKnowledge({ version, resume, revisions }, documentOf(knowledge));
    assert.ok(again.kind === "applied");
    assert.deepEqual(again.knowledge, knowledge);
  });
});
