// The project CAs that a replica keeps in memory, while other replicas and operators change the Secrets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Publisher } from "../../../ca/bundle/publisher.ts";
import type { ProjectIssuer, Store } from "../../../ca/store/store.ts";
import { silent } from "../../../lib/log/log.ts";
import { manualClock } from "../../clock/manual-clock.ts";
import { FakeKube, openStore, secretPath } from "./fake-kube.ts";

const shop = secretPath("shop");

/** What the watch has been sent is read within this turn. */
const watchRead = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

async function issuerOf(store: Store): Promise<ProjectIssuer> {
  const issuer = await store.issuerOf("shop", "first");
  assert.ok(issuer.kind === "issuer", JSON.stringify(issuer));
  return issuer;
}

test("a CA that is deleted while it is read is not kept", async (t) => {
  const kube = new FakeKube();
  kube.project("shop", "first");
  const clock = manualClock();
  const [store, other] = [await openStore(kube, clock), await openStore(kube, clock)];
  const publisher = await Publisher.start(store, { clock, log: silent });
  t.after(() => publisher.stop());
  const published = (): Promise<void> => new Promise((resolve) => publisher.subscribe(() => resolve()));
  const made = published();
  await issuerOf(other);
  await made;
  const letGo = kube.hold(shop);
  const reading = issuerOf(store);
  const deleted = published();
  kube.remove(shop);
  await deleted;
  await watchRead();
  assert.equal(publisher.current.knowledge.projects.size, 0);
  letGo();
  const old = await reading;
  const next = await issuerOf(store);
  assert.notDeepEqual(next.authority.certificate.der, old.authority.certificate.der);
  await publisher.refresh();
  assert.deepEqual(publisher.current.knowledge.projects.get("shop")?.authorities, [next.authority.certificate.der]);
});

test("one that nobody changes is read once", async (t) => {
  const kube = new FakeKube();
  kube.project("shop", "first");
  const store = await openStore(kube, manualClock());
  const publisher = await Publisher.start(store, { clock: manualClock(), log: silent });
  t.after(() => publisher.stop());
  // The first may be forgotten again by the news of its own making.
  await issuerOf(store);
  await watchRead();
  const kept = await issuerOf(store);
  assert.equal(await issuerOf(store), kept);
});
