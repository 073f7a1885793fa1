// A look at thousands of projects of which one has changed: what was checked before is not checked again, and nothing else is believed.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Knowledge, Store } from "../../../ca/store/store.ts";
import { manualClock } from "../../clock/manual-clock.ts";
import { day } from "../../pki/pki.ts";
import { FakeKube, encoded, openStore, secretPath } from "./fake-kube.ts";

const look = async (store: Store): Promise<Knowledge> => (await store.publish(0n)).knowledge;
const authorityOf = (knowledge: Knowledge, project: string): Uint8Array | undefined =>
  knowledge.projects.get(project)?.authorities[0];

async function start(): Promise<{ kube: FakeKube; store: Store; clock: ReturnType<typeof manualClock> }> {
  const kube = new FakeKube();
  const clock = manualClock();
  const store = await openStore(kube, clock);
  for (const project of ["shop", "other"]) {
    kube.project(project, `uid-${project}`);
    await store.issuerOf(project, `uid-${project}`);
  }
  return { kube, store, clock };
}

test("the certificate of a project that did not change is the very one of the look before", async () => {
  const { kube, store } = await start();
  const before = await look(store);
  const shop = kube.peek(secretPath("shop"))!;
  kube.put(secretPath("shop"), { ...shop, data: { ...shop.data, denied: encoded("stolen") } });
  const after = await look(store);
  assert.deepEqual(after.projects.get("shop")!.denied, ["stolen"]);
  for (const project of ["shop", "other"])
    assert.ok(authorityOf(before, project) === authorityOf(after, project), `${project} was checked again`);
});

test("another certificate in a project's Secret is checked, be it that of another project", async () => {
  const { kube, store } = await start();
  await look(store);
  const [shop, other] = ["shop", "other"].map((project) => kube.peek(secretPath(project))!);
  kube.put(secretPath("shop"), { ...shop!, data: { ...shop!.data, "tls.crt": other!.data!["tls.crt"]! } });
  assert.deepEqual([...(await look(store)).projects.keys()], ["other"]);
});

test("a certificate that has ended since the look before is not trusted any more", async () => {
  const { store, clock } = await start();
  assert.equal((await look(store)).projects.size, 2);
  clock.leap(731 * day);
  assert.equal((await look(store)).projects.size, 0);
});
