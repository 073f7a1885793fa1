// Watch over real gRPC: the bundle of the caller's project at once, every change within a second, nothing of other projects.
import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import type { Bundle } from "../../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import { claimsOf, sign } from "../../tokens/tokens.ts";
import { cart, issued, newStore, startCa } from "./running-ca.ts";
import type { TestCa } from "./running-ca.ts";

const names = ({ projects }: Bundle): string[] => projects.map(({ name }) => name).toSorted();
const of = (project: string) => ({ ...cart, project, podUid: `pod-of-${project}` });

async function enroll(ca: TestCa, project: string): Promise<bigint> {
  return issued(await ca.create({}, ca.token(of(project)))).bundleVersion;
}

void test("before anybody enrolled, a caller gets the root alone; then its project, in the version that its certificate names", async (t) => {
  const ca = await startCa(t);
  const stream = ca.watch(ca.token(of("shop")));
  const first = await stream.next();
  assert.ok(!("kind" in first));
  assert.deepEqual([first.roots.length, names(first)], [1, []]);
  const version = await enroll(ca, "shop");
  const next = await stream.until((bundle) => bundle.version >= version);
  assert.deepEqual(names(next), ["shop"]);
  assert.ok(next.version > first.version);
});

void test("a caller of another project sees nothing of shop, though its versions go up", async (t) => {
  const ca = await startCa(t);
  await enroll(ca, "other");
  const stream = ca.watch(ca.token(of("other")));
  await stream.until((bundle) => names(bundle).length === 1);
  const version = await enroll(ca, "shop");
  writeFileSync(join(ca.store, "projects/shop/denied"), "stolen\n");
  const bundle = await stream.until((each) => each.version > version);
  assert.deepEqual([names(bundle), bundle.denied], [["other"], []]);
});

void test("peers count when both name each other, and only then", async (t) => {
  const ca = await startCa(t);
  await enroll(ca, "shop");
  await enroll(ca, "billing");
  const stream = ca.watch(ca.token(of("shop")));
  assert.deepEqual(names(await stream.until(() => true)), ["shop"]);
  writeFileSync(join(ca.store, "projects/shop/peers"), "billing\n");
  assert.deepEqual(names(await stream.until(() => true)), ["shop"]);
  writeFileSync(join(ca.store, "projects/billing/peers"), "shop\n");
  assert.deepEqual(names(await stream.until((bundle) => bundle.projects.length === 2)), ["billing", "shop"]);
  rmSync(join(ca.store, "projects/billing/peers"));
  assert.deepEqual(names(await stream.until((bundle) => bundle.projects.length === 1)), ["shop"]);
});

void test("a project whose folder is removed leaves the bundle within a second, and comes back with another CA", async (t) => {
  const ca = await startCa(t);
  await enroll(ca, "shop");
  const stream = ca.watch(ca.token(of("shop")));
  const before = await stream.until(({ projects }) => projects.length === 1);
  const removedAt = performance.now();
  rmSync(join(ca.store, "projects/shop"), { recursive: true });
  const without = await stream.until(({ projects }) => projects.length === 0);
  const took = performance.now() - removedAt;
  assert.ok(took < 1000, `${took} ms`);
  assert.ok(without.version > before.version);
  await enroll(ca, "shop");
  const after = await stream.until(({ projects }) => projects.length === 1);
  assert.ok(after.version > without.version);
  assert.notDeepEqual(after.projects[0]!.authorities, before.projects[0]!.authorities);
  assert.notEqual(after.projects[0]!.namespaceUid, before.projects[0]!.namespaceUid);
});

void test("it is seen too when the whole folder of projects goes away and comes back", async (t) => {
  const ca = await startCa(t);
  await enroll(ca, "shop");
  const stream = ca.watch(ca.token(of("shop")));
  await stream.until(({ projects }) => projects.length === 1);
  rmSync(join(ca.store, "projects"), { recursive: true });
  await stream.until(({ projects }) => projects.length === 0);
  mkdirSync(join(ca.store, "projects"));
  await enroll(ca, "shop");
  await stream.until(({ projects }) => projects.length === 1);
  rmSync(join(ca.store, "projects/shop"), { recursive: true });
  await stream.until(({ projects }) => projects.length === 0);
});

void test("versions go on after a restart, and do not change when nothing else does", async (t) => {
  const store = newStore(t);
  const first = await startCa(t, { store });
  const version = await enroll(first, "shop");
  await first.ca.stop();
  const second = await startCa(t, { store, tokenKey: first.tokenKey });
  const bundle = await second.watch(second.token(of("shop"))).until(() => true);
  assert.equal(bundle.version, version);
  assert.ok((await enroll(second, "billing")) > version);
});

void test("two on one store agree on project CA, uid and version, and each sees what the other did", async (t) => {
  const store = newStore(t);
  const one = await startCa(t, { store });
  const other = await startCa(t, { store, tokenKey: one.tokenKey });
  assert.equal(one.rootPem(), other.rootPem());
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, index) => (index % 2 === 0 ? one : other).create({}, one.token(of("shop")))),
  );
  const authorities = new Set(answers.map((answer) => issued(answer).certChain[1]));
  assert.equal(authorities.size, 1);
  const seen = await Promise.all(
    [one, other].map((ca) => ca.watch(ca.token(of("shop"))).until(({ projects }) => projects.length === 1)),
  );
  assert.deepEqual(seen[0], seen[1]);
  const stream = other.watch(other.token(of("billing")));
  const version = await enroll(one, "billing");
  assert.deepEqual(names(await stream.until((bundle) => bundle.version >= version)), ["billing"]);
});

const refused: Readonly<Record<string, (ca: TestCa) => string>> = {
  "a token of a foreign audience": (ca) => sign(ca.tokenKey, { ...claimsOf(cart), aud: ["vault"] }),
  garbage: () => "garbage",
};
for (const [what, token] of Object.entries(refused)) {
  void test(`refused with a fixed text: ${what}`, async (t) => {
    const ca = await startCa(t);
    assert.deepEqual(await ca.watch(token(ca)).next(), {
      kind: "error",
      code: status.UNAUTHENTICATED,
      details: "the caller could not be authenticated",
    });
    assert.equal(ca.events("bundle_refused").length, 1);
  });
}

void test("a stream ends with the token that opened it", async (t) => {
  const ca = await startCa(t);
  const stream = ca.watch(sign(ca.tokenKey, { ...claimsOf(of("shop")), exp: Math.ceil(Date.now() / 1000) + 1 }));
  assert.ok(!("kind" in (await stream.next())));
  assert.deepEqual(await stream.next(), { kind: "end" });
});

void test("a pod holds at most eight streams at once", async (t) => {
  const ca = await startCa(t);
  const streams = Array.from({ length: 8 }, () => ca.watch(ca.token(of("shop"))));
  for (const stream of streams) assert.ok(!("kind" in (await stream.next())));
  assert.deepEqual(await ca.watch(ca.token(of("shop"))).next(), {
    kind: "error",
    code: status.RESOURCE_EXHAUSTED,
    details: "too many requests",
  });
  assert.ok(!("kind" in (await ca.watch(ca.token(of("billing"))).next())));
});
