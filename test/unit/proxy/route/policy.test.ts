/** The policy that holds: floors, peers, what a snapshot must have to be accepted. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { accept } from "../../../../proxy/route/accept.ts";
import type { Self } from "../../../../proxy/route/policy.ts";
import type { Mode } from "../../../../lib/project/mode.ts";
import { baseDocument, ip, modes, self, snapshotOf, viewWith } from "./world.ts";
import type { Json } from "./world.ts";

describe("the mode in force", () => {
  const strictness = (mode: Mode): number => modes.indexOf(mode);
  for (const floor of modes) {
    for (const project of modes) {
      for (const workload of [null, ...modes]) {
        test(`floor ${floor}, project ${project}, workload ${workload}: the strictest`, () => {
          const expected = [floor, project, ...(workload === null ? [] : [workload])]
            .toSorted((a, b) => strictness(a) - strictness(b))
            .at(-1);
          assert.equal(viewWith({ floor, shop: { mode: project }, cart: { mode: workload } }).policy.mode, expected);
        });
      }
    }
  }
  test("is strict where the document names one that is unknown here", () => {
    assert.equal(viewWith({ shop: { mode: "lenient" } }).policy.mode, "strict");
    assert.equal(viewWith({ cart: { mode: "PERMISSIVE" } }).policy.mode, "strict");
  });
  test("has a dry run only where that is stricter than all that holds", () => {
    assert.equal(viewWith({ shop: { mode: "permissive", dryRun: "project" } }).policy.dryRun, "project");
    assert.equal(viewWith({ floor: "project", shop: { mode: "permissive", dryRun: "project" } }).policy.dryRun, null);
    assert.equal(viewWith({ cart: { mode: "strict" }, shop: { dryRun: "strict" } }).policy.dryRun, null);
    assert.equal(viewWith({ shop: { dryRun: "unheard-of" } }).policy.dryRun, "strict");
  });
  test("has the stricter one of the dry runs of project and workload", () => {
    const tried = (shop: Json, cart: Json): Mode | null => viewWith({ shop, cart }).policy.dryRun;
    assert.equal(tried({ mode: "permissive" }, { dryRun: "project" }), "project");
    assert.equal(tried({ mode: "permissive", dryRun: "project" }, { dryRun: "strict" }), "strict");
    assert.equal(tried({ mode: "permissive", dryRun: "strict" }, { dryRun: "project" }), "strict");
    assert.equal(tried({ mode: "project" }, { dryRun: "project" }), null);
    assert.equal(tried({ mode: "permissive" }, { mode: "strict", dryRun: "strict" }), null);
  });
});

describe("what a workload says of nodes", () => {
  const nodes = (shop: Json, cart: Json): string | null => viewWith({ shop, cart }).policy.nodeSources;
  test("counts where it refuses", () => {
    assert.equal(nodes({ nodeSources: "accept" }, { nodeSources: "refuse" }), "refuse");
    assert.equal(nodes({}, { nodeSources: "refuse" }), "refuse");
  });
  test("does not where it accepts", () => {
    assert.equal(nodes({ nodeSources: "refuse" }, { nodeSources: "accept" }), "refuse");
    // The default of the mode, which refuses in strict.
    assert.equal(nodes({}, { nodeSources: "accept" }), null);
  });
});

describe("a peer project is internal", () => {
  const peersWith = (billing: Json, peers: unknown = [{ name: "billing", uid: "uid-billing" }]): string[] => {
    const document = baseDocument();
    document.projects[1] = { ...document.projects[1], ...billing };
    return [...viewWith({ document, shop: { peers } }).policy.internalProjects].toSorted();
  };
  test("when both name each other with the uids that they have", () =>
    assert.deepEqual(peersWith({}), ["billing", "shop"]));
  test("not when it does not name us", () => assert.deepEqual(peersWith({ peers: [] }), ["shop"]));
  test("not when we do not name it", () => assert.deepEqual(peersWith({}, []), ["shop"]));
  test("not when it was made again: its uid is another", () =>
    assert.deepEqual(peersWith({ uid: "uid-new" }), ["shop"]));
  test("not when it still names an earlier namespace of our name", () =>
    assert.deepEqual(peersWith({ peers: [{ name: "shop", uid: "uid-old" }] }), ["shop"]));
  test("not when we name an earlier namespace of its name", () =>
    assert.deepEqual(peersWith({}, [{ name: "billing", uid: "uid-old" }]), ["shop"]));
  test("not when the document does not hold it", () => {
    const document = baseDocument();
    document.projects = document.projects.filter((project) => project["name"] !== "billing");
    assert.deepEqual([...viewWith({ document }).policy.internalProjects], ["shop"]);
  });
});

describe("a snapshot is accepted", () => {
  const judge = (
    change: (document: ReturnType<typeof baseDocument>) => void,
    currentVersion: number | null = null,
    who: Self = self,
  ): string => {
    const document = baseDocument();
    document["version"] = 5;
    change(document);
    const current = currentVersion === null ? null : snapshotOf({ ...baseDocument(), version: currentVersion });
    const acceptance = accept(snapshotOf(document), current, who);
    return acceptance.kind === "accepted" ? "accepted" : `${acceptance.reason}: ${acceptance.detail}`;
  };
  test("when it names the own project and the own pod at all its addresses", () =>
    assert.equal(
      judge(() => {}),
      "accepted",
    ));
  test("when it is newer, and only then", () => {
    assert.equal(
      judge(() => {}, 4),
      "accepted",
    );
    assert.equal(
      judge(() => {}, 5),
      "directory_not_newer: version 5 after 5",
    );
    assert.equal(
      judge(() => {}, 6),
      "directory_not_newer: version 5 after 6",
    );
  });
  test("not without the own project", () => {
    assert.equal(
      judge((document) => document.projects.shift()),
      "directory_lacks_own_project: shop",
    );
  });
  test("not without an own address", () => {
    assert.equal(
      judge((document) => (document.workloads[0]!["ips"] = ["10.0.0.2"])),
      "directory_lacks_own_address: fd00::2",
    );
    assert.equal(
      judge((document) => (document.workloads[0]!["ips"] = [])),
      "directory_lacks_own_address: 10.0.0.2",
    );
    assert.equal(
      judge((document) => document.workloads.shift()),
      "directory_lacks_own_address: 10.0.0.2",
    );
  });
  test("not when another pod has an own address: by uid, or by project", () => {
    assert.equal(
      judge((document) => (document.workloads[0]!["uid"] = "uid-cart-0")),
      "directory_lacks_own_address: 10.0.0.2",
    );
    assert.equal(
      judge((document) => (document.workloads[0]!["project"] = "other")),
      "directory_lacks_own_address: 10.0.0.2",
    );
  });
  test("also when another pod claims an own address beside us: that must not freeze our policy", () => {
    assert.equal(
      judge((document) => document.workloads.push({ ...document.workloads[3], uid: "uid-thief", ips: ["10.0.0.2"] })),
      "accepted",
    );
  });
  test("the own entry counts for the mode also then", () => {
    const document = baseDocument();
    document.workloads.push({
      ...document.workloads[3],
      uid: "uid-thief",
      ips: ["10.0.0.2", "fd00::2"],
      mode: "permissive",
    });
    assert.equal(viewWith({ document, cart: { mode: "strict" } }).policy.mode, "strict");
    assert.ok(self.ips.has(ip("10.0.0.2")));
  });
});
