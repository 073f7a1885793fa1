/** When authorities end, of more projects than are named and of projects that are gone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "../../../ca/metrics.ts";
import type { AuthorityEnd } from "../../../ca/metrics.ts";

const series = /^tencrypt_ca_authority_end_timestamp_seconds\{authority="([^"]*)",project="([^"]*)"\} (.*)$/gm;

/** What is shown for these, one after another. */
function shown(...looks: readonly (readonly AuthorityEnd[])[]): readonly ReadonlyMap<string, number>[] {
  const metrics = createMetrics();
  let ends: readonly AuthorityEnd[] = [];
  metrics.follow(() => ({ version: 1n, ends }));
  return looks.map((look) => {
    ends = look;
    const found = [...metrics.registry.render("prometheus").matchAll(series)];
    return new Map(found.map(([, authority, project, end]) => [`${authority} ${project}`, Number(end)]));
  });
}

const own: readonly AuthorityEnd[] = [
  { authority: "root", project: "", notAfter: 9_000_000 },
  { authority: "control-plane", project: "", notAfter: 8_000_000 },
];
const ofProject = (project: string, seconds: number): AuthorityEnd => ({
  authority: "project",
  project,
  notAfter: seconds * 1000,
});

test("a project that is gone is shown no more, and one that is there again with its own end", () => {
  const [first, second, third] = shown(
    [...own, ofProject("shop", 10), ofProject("other", 20)],
    [...own, ofProject("other", 20)],
    [...own, ofProject("other", 20), ofProject("shop", 30)],
  );
  assert.deepEqual([first!.get("project shop"), second!.get("project shop")], [10, undefined]);
  assert.deepEqual([third!.get("project shop"), third!.get("root ")], [30, 9000]);
});

test("of projects beyond those that are named the first end is shown, and the root keeps its name", () => {
  const projects = Array.from({ length: 600 }, (_, index) => ofProject(`project-${index}`, 1000 + ((index * 7) % 600)));
  const [look] = shown([...own, ...projects]);
  const named = [...look!].filter(([name]) => name.startsWith("project project-")).map(([, end]) => end);
  assert.deepEqual([look!.get("root "), look!.get("control-plane "), named.length], [9000, 8000, 499]);
  assert.equal(look!.get("project overflow"), 1000 + 499);
  assert.ok(Math.max(...named) < look!.get("project overflow")!);
});

test("names of projects that are gone take no place", () => {
  const all = Array.from({ length: 499 }, (_, index) => ofProject(`old-${index}`, index));
  const [, look] = shown([...own, ...all], [...own, ofProject("new", 5)]);
  assert.equal(look!.get("project new"), 5);
});

test("the same ends are looked at once, however often somebody asks", () => {
  const metrics = createMetrics();
  let looks = 0;
  const counted = {
    ...own[0]!,
    get notAfter(): number {
      looks++;
      return 9_000_000;
    },
  };
  const ends = [counted];
  metrics.follow(() => ({ version: 1n, ends }));
  const first = metrics.registry.render("prometheus");
  const before = looks;
  assert.equal(metrics.registry.render("prometheus"), first);
  assert.equal(looks, before);
});
