/** A root is made only where nothing is left that an earlier one issued: a new one would make all of that worthless. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { manualClock } from "../../clock/manual-clock.ts";
import { decoded, FakeKube, openStore, secretPath } from "./fake-kube.ts";

const clock = manualClock();
const root = "/api/v1/namespaces/tencrypt-ca/secrets/tencrypt-root";
const controlPlane = "/api/v1/namespaces/tencrypt-ca/secrets/tencrypt-control-plane";

/** A store that was in use. */
async function used(): Promise<FakeKube> {
  const kube = new FakeKube();
  kube.project("shop", "first");
  const store = await openStore(kube, clock);
  assert.equal((await store.issuerOf("shop", "first")).kind, "issuer");
  return kube;
}

for (const [left, gone] of [
  ["tencrypt-control-plane", [root, secretPath("shop")]],
  ["tencrypt-project.shop", [root, controlPlane]],
] as const)
  test(`${left} is left of what the lost root issued`, async () => {
    const kube = await used();
    for (const path of gone) kube.remove(path);
    await assert.rejects(openStore(kube, clock), {
      message: `Secret tencrypt-root is missing but ${left} is there: restore the root, or delete what it issued`,
    });
    assert.equal(kube.peek(root), null);
  });

test("nothing is left", async () => {
  const kube = await used();
  for (const path of [root, controlPlane, secretPath("shop")]) kube.remove(path);
  await openStore(kube, clock);
  assert.notEqual(kube.peek(root), null);
});

test("another replica makes the root, and issues with it, while this one looks", async () => {
  const kube = await used();
  const made = kube.peek(root)!;
  kube.remove(root);
  const letGo = kube.hold(root);
  const opened = openStore(kube, clock);
  kube.put(root, made);
  letGo();
  await opened;
  assert.equal(decoded(kube.peek(root), "tls.crt"), decoded(made, "tls.crt"));
});
