/** Who was revoked stays so, whatever becomes of the CA of the project. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Publisher } from "../../../ca/bundle/publisher.ts";
import type { Store } from "../../../ca/store/store.ts";
import { silent } from "../../../lib/log/log.ts";
import { manualClock } from "../../clock/manual-clock.ts";
import type { ManualClock } from "../../clock/manual-clock.ts";
import { day } from "../../pki/pki.ts";
import { decoded, encoded, FakeKube, openStore, secretPath } from "./fake-kube.ts";

const stolen = "uid-of-the-stolen-pod";
const shop = secretPath("shop");

type World = {
  readonly kube: FakeKube;
  readonly store: Store;
  readonly publisher: Publisher;
  readonly clock: ManualClock;
};

/** A project with a CA, and a pod of it that was revoked. */
async function world(t: TestContext): Promise<World> {
  const kube = new FakeKube();
  kube.project("shop", "first");
  const clock = manualClock();
  const store = await openStore(kube, clock);
  const publisher = await Publisher.start(store, { clock, log: silent });
  t.after(() => publisher.stop());
  await store.issuerOf("shop", "first");
  patch(kube, { denied: encoded(`other ${stolen}`) });
  await publisher.refresh();
  assert.deepEqual(denied({ publisher }), ["other", stolen]);
  return { kube, store, publisher, clock };
}

const patch = (kube: FakeKube, data: Readonly<Record<string, string>>): void => {
  const secret = kube.peek(shop)!;
  kube.put(shop, { ...secret, data: { ...secret.data, ...data } });
};

const denied = ({ publisher }: Pick<World, "publisher">): readonly string[] =>
  publisher.current.knowledge.projects.get("shop")?.denied ?? [];

async function certificateAfter({ kube, store, publisher }: World, uid: string): Promise<string> {
  const issuer = await store.issuerOf("shop", uid);
  assert.equal(issuer.kind, "issuer", JSON.stringify(issuer));
  await publisher.refresh();
  return decoded(kube.peek(shop), "tls.crt");
}

test("under the CA that replaces one which has ended", async (t) => {
  const all = await world(t);
  const before = decoded(all.kube.peek(shop), "tls.crt");
  all.clock.advance(731 * day);
  assert.notEqual(await certificateAfter(all, "first"), before);
  assert.deepEqual(denied(all), ["other", stolen]);
});

test("under the CA that replaces one which was taken out of the bundle", async (t) => {
  const all = await world(t);
  const before = decoded(all.kube.peek(shop), "tls.crt");
  patch(all.kube, { uid: "" });
  await all.publisher.refresh();
  assert.equal(all.publisher.current.knowledge.projects.size, 0);
  // The watch tells that the Secret is another one; until then the CA of before is signed with, and listed nowhere.
  while ((await certificateAfter(all, "first")) === before) await new Promise(setImmediate);
  assert.equal(decoded(all.kube.peek(shop), "uid"), "first");
  assert.deepEqual(denied(all), ["other", stolen]);
});

test("but not in a namespace that was made again: it has none of the old one's pods", async (t) => {
  const all = await world(t);
  all.kube.project("shop", "second");
  await certificateAfter(all, "second");
  assert.equal(decoded(all.kube.peek(shop), "uid"), "second");
  assert.deepEqual(denied(all), []);
});
