/** Who may ask for probes, handlers and metrics of a pod. */
// Who may use 15020 and 15021, by what the directory says of the address.
import assert from "node:assert/strict";
import { test } from "node:test";
import { useMetrics, useProbe } from "../../../../proxy/route/own-ports.ts";
import type { View } from "../../../../proxy/route/policy.ts";
import { ip, modes, self, viewWith } from "./world.ts";

const [probe, hook] = ["/probe/app/liveness", "/hook/app/preStop"] as const;
const kinds = { a: "allow", r: "refuse", l: "look-up" } as const;

/** What a probe gets and what a handler gets. */
const sources: readonly (readonly [
  what: string,
  source: string,
  expected: readonly [keyof typeof kinds, keyof typeof kinds],
])[] = [
  ["the pod itself", "10.0.0.2", ["a", "a"]],
  ["loopback", "127.0.0.1", ["a", "a"]],
  ["a node", "192.0.2.10", ["a", "a"]],
  ["an address outside", "203.0.113.9", ["a", "a"]],
  ["a protected pod of the project", "10.0.0.3", ["r", "r"]],
  ["an unprotected pod of the project", "10.0.0.4", ["r", "r"]],
  ["a pod of a peer project", "10.0.1.2", ["r", "r"]],
  ["a pod of another project", "10.0.2.2", ["r", "r"]],
  ["an address that two pods claim", "10.0.0.66", ["r", "r"]],
  ["an address of the range of pods that nobody holds", "10.0.0.1", ["a", "l"]],
];

for (const [what, text, [ofProbe, ofHook]] of sources)
  for (const mode of modes)
    test(`probes for ${what}, ${mode}`, () => {
      const input = { source: ip(text), self, view: viewWith({ shop: { mode } }), lookUp: null };
      assert.equal(useProbe(input, probe).kind, kinds[ofProbe]);
      assert.equal(useProbe(input, hook).kind, kinds[ofHook]);
    });

for (const lookUp of ["unheld", "no-answer"] as const)
  test(`a handler for an address whose look-up says ${lookUp}`, () => {
    const input = { source: ip("10.0.0.1"), self, view: viewWith({}), lookUp };
    assert.equal(useProbe(input, hook).kind, "allow");
  });

test("before the first snapshot nobody is known to be a pod", () => {
  assert.equal(useProbe({ source: ip("10.0.0.3"), self, view: null, lookUp: null }, hook).kind, "allow");
});

const metrics = (view: View | null, source: string, lookUp: "held" | "unheld" | "no-answer" | null = null): string =>
  useMetrics({ source: ip(source), self, view, lookUp }, 15_020).kind;
const strict = (allowIngress: readonly string[]): View => viewWith({ shop: { mode: "strict", allowIngress } });

test("metrics are for anybody but in strict", () => {
  assert.equal(metrics(viewWith({ shop: { mode: "project" } }), "10.0.2.2"), "allow");
  assert.equal(metrics(strict([]), "10.0.2.2"), "refuse");
  assert.equal(metrics(strict([]), "10.0.0.2"), "allow");
  assert.equal(metrics(strict([]), "127.0.0.1"), "allow");
});

test("in strict a rule names who may scrape, by address and by name, for that port", () => {
  assert.equal(metrics(strict(["10.0.2.0/24:15020"]), "10.0.2.2"), "allow");
  assert.equal(metrics(strict(["10.0.2.0/24:9090"]), "10.0.2.2"), "refuse");
  assert.equal(metrics(strict(["other/api:15020"]), "10.0.2.2"), "allow");
  assert.equal(metrics(strict(["other/api"]), "10.0.2.2"), "allow");
  assert.equal(metrics(strict(["other/api:9090"]), "10.0.2.2"), "refuse");
  assert.equal(metrics(strict(["other/web:15020"]), "10.0.2.2"), "refuse");
});

test("a name is worth a look-up of who holds an unknown address; without names it is refused at once", () => {
  const named = strict(["other/api:15020"]);
  assert.equal(metrics(named, "10.0.0.1"), "look-up");
  assert.equal(metrics(named, "10.0.0.1", "unheld"), "refuse");
  assert.equal(metrics(named, "10.0.0.1", "no-answer"), "refuse");
  assert.equal(metrics(strict([]), "10.0.0.1"), "refuse");
});

test("the pod's own allow-ingress has to name who may scrape as well", () => {
  const both = (project: string[], workload: string[], source = "10.0.2.2"): string =>
    metrics(viewWith({ shop: { mode: "strict", allowIngress: project }, cart: { allowIngress: workload } }), source);
  assert.equal(both(["10.0.2.0/24"], ["other/api:15020"]), "allow");
  assert.equal(both(["10.0.2.0/24"], ["other/web"]), "refuse");
  assert.equal(both(["10.0.2.0/24"], []), "refuse");
  // A look-up is made only where its answer could matter.
  assert.equal(both(["10.0.0.1/32"], ["other/api"], "10.0.0.1"), "look-up");
  assert.equal(both(["other/api"], ["10.0.2.0/24"], "10.0.0.1"), "refuse");
});

test("before the first snapshot the floor decides about metrics", () => {
  const of = (floor: "strict" | "project"): string =>
    useMetrics({ source: ip("10.0.2.2"), self: { ...self, floor }, view: null, lookUp: null }, 15_020).kind;
  assert.deepEqual([of("strict"), of("project")], ["refuse", "allow"]);
});
