// A look at thousands of projects of which one has changed: what was checked before is not checked again, and nothing else is believed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
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

test("what others write into a namespace is no reason for a look; its peers, and that it comes or goes, are", async (t) => {
  const { kube, store } = await start();
  let looks = 0;
  t.after(store.watch(() => void looks++));
  const settled = async (): Promise<number> => {
    for (let turn = 0; turn < 10; turn++) await setImmediate();
    const found = looks;
    looks = 0;
    return found;
  };
  assert.ok((await settled()) > 0, "the first list is looked at");
  const path = "/api/v1/namespaces/shop";
  const write = (annotations: Readonly<Record<string, string>>): void => {
    const shop = kube.peek(path)!;
    kube.put(path, { ...shop, metadata: { ...shop.metadata, annotations } });
  };
  for (const seen of ["1", "2"]) {
    write({ "example.com/seen": seen });
    assert.equal(await settled(), 0);
  }
  write({ "example.com/seen": "2", "tencrypt.io/peers": "other/uid-other" });
  assert.equal(await settled(), 1);
  write({ "example.com/seen": "3", "tencrypt.io/peers": "other/uid-other" });
  assert.equal(await settled(), 0);
  write({});
  assert.equal(await settled(), 1);
  kube.remove(path);
  assert.equal(await settled(), 1);
  kube.project("shop", "uid-of-another");
  assert.equal(await settled(), 1);
});
