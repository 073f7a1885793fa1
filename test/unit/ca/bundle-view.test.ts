// A caller sees its own project and the peers that name it back; nothing tells it that others exist.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bundleFor, isDenied } from "../../../ca/bundle/view.ts";
import type { Knowledge, KnownProject } from "../../../ca/store/store.ts";

const project = (name: string, peers: string[], denied: string[] = []): [string, KnownProject] => [
  name,
  { name, uid: `uid-of-${name}`, authorities: [Buffer.from(name)], authoritiesEnd: 0, peers: new Set(peers), denied },
];
const knowledge: Knowledge = {
  roots: [Buffer.from("root")],
  projects: new Map([
    project("shop", ["billing", "other", "gone", "shop"], ["stolen-1"]),
    project("billing", ["shop"], ["stolen-2"]),
    project("other", ["billing"], ["stolen-3"]),
  ]),
};
const seenBy = (name: string): unknown => {
  const { projects, denied } = bundleFor(name, { version: 7n, knowledge });
  return { projects: projects.map((each) => each.name), denied };
};

void test("the own project and mutual peers, with what was denied there", () => {
  assert.deepEqual(seenBy("shop"), { projects: ["shop", "billing"], denied: ["stolen-1", "stolen-2"] });
  assert.deepEqual(seenBy("billing"), { projects: ["billing", "shop"], denied: ["stolen-2", "stolen-1"] });
});

void test("a project that names a peer which does not name it back sees nothing of it", () => {
  assert.deepEqual(seenBy("other"), { projects: ["other"], denied: ["stolen-3"] });
});

void test("a project that has no CA yet gets the roots alone", () => {
  assert.deepEqual(bundleFor("new", { version: 7n, knowledge }), {
    version: 7n,
    roots: [Buffer.from("root")],
    projects: [],
    denied: [],
  });
});

void test("names and uids go with their authorities", () => {
  assert.deepEqual(bundleFor("other", { version: 7n, knowledge }).projects, [
    { name: "other", namespaceUid: "uid-of-other", authorities: [Buffer.from("other")] },
  ]);
});

void test("a pod is denied in its own project only", () => {
  assert.deepEqual(
    [
      isDenied("shop", "stolen-1", knowledge),
      isDenied("shop", "stolen-2", knowledge),
      isDenied("new", "stolen-1", knowledge),
    ],
    [true, false, false],
  );
});
