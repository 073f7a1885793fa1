// Looks at the store that fail: the last state is kept, the reason is told once, and the next change is another look.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Publisher } from "../../../ca/bundle/publisher.ts";
import { StoreError } from "../../../ca/store/files.ts";
import type { Published, Store } from "../../../ca/store/store.ts";
import type { Log } from "../../../lib/log/log.ts";
import { manualClock } from "../../clock/manual-clock.ts";
import { bundlePath, FakeKube, openStore } from "./fake-kube.ts";

const published = (version: bigint): Published => ({ version, knowledge: { roots: [], projects: new Map() } });

function linesOf(): { readonly lines: string[]; readonly log: Log } {
  const lines: string[] = [];
  return { lines, log: (_level, event, fields) => void lines.push(`${event}: ${String(fields?.["detail"])}`) };
}

for (const [error, told] of [
  [new StoreError("away"), /^store_unavailable: away$/],
  [new TypeError("not iterable"), /^defect: TypeError: not iterable/],
] as const)
  test(`a look that fails with a ${error.constructor.name} keeps the last state`, async () => {
    const answers: (Published | Error)[] = [published(1n), error, error, published(2n)];
    let changed = (): void => assert.fail("not watched");
    const store = {
      publish: async () => {
        const next = answers.shift()!;
        if (next instanceof Error) throw next;
        return next;
      },
      watch: (callback: () => void) => {
        changed = callback;
        return () => {};
      },
    } as unknown as Store;
    const { lines, log } = linesOf();
    const publisher = await Publisher.start(store, log);
    changed();
    await publisher.refresh();
    assert.equal(publisher.current.version, 1n);
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, told);
    await publisher.refresh();
    assert.equal(publisher.current.version, 2n);
  });

test("a number in the ConfigMap that is none is told by name, and ends nothing", async (t) => {
  const kube = new FakeKube();
  const { lines, log } = linesOf();
  const publisher = await Publisher.start(await openStore(kube, manualClock()), log);
  t.after(() => publisher.stop());
  const before = publisher.current.version;
  for (const version of ["12a", "-1", "0x10", ""]) {
    kube.put(bundlePath, { metadata: { name: "tencrypt-bundle" }, data: { version, digest: "" } });
    await publisher.refresh();
    assert.equal(publisher.current.version, before);
  }
  const told = "ConfigMap tencrypt-bundle: version is not a number: delete it, and the ca makes another";
  assert.deepEqual(lines, [`store_unavailable: ${told}`]);
  kube.remove(bundlePath);
  await publisher.refresh();
  assert.ok(publisher.current.version > before);
});
