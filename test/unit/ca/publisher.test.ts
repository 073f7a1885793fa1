// Looks at the store that fail: the last state is kept, the reason is told once, and time or the next change is another look.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
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

/** A store that gives these one by one, and holds its tongue about changes. */
const storeOf = (answers: readonly (Published | Error)[]): Store => {
  const left = [...answers];
  const publish = async (): Promise<Published> => {
    const next = left.shift() ?? assert.fail("one look more than there are answers");
    if (next instanceof Error) throw next;
    return next;
  };
  return { publish, watch: () => () => {} } as unknown as Store;
};

for (const [error, told] of [
  [new StoreError("away"), /^store_unavailable: away$/],
  [new TypeError("not iterable"), /^defect: TypeError: not iterable/],
] as const) {
  const name = error.constructor.name;
  test(`a look that fails with a ${name} keeps the last state`, async () => {
    const { lines, log } = linesOf();
    const store = storeOf([published(1n), error, error, published(2n)]);
    const publisher = await Publisher.start(store, { clock: manualClock(), log });
    for (let failed = 0; failed < 2; failed++) {
      await publisher.refresh();
      assert.equal(publisher.current.version, 1n);
    }
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, told);
    await publisher.refresh();
    assert.equal(publisher.current.version, 2n);
  });

  test(`a look that failed with a ${name} is made again though nothing changes any more, ever later`, async () => {
    const clock = manualClock();
    const failures = Array.from({ length: 8 }, () => error);
    const publisher = await Publisher.start(storeOf([published(1n), ...failures, published(2n)]), {
      clock,
      log: linesOf().log,
    });
    const next = Promise.withResolvers<Published>();
    publisher.subscribe(next.resolve);
    await publisher.refresh();
    for (const seconds of [0.5, 1, 2, 4, 8, 16, 30, 30]) {
      clock.advance(seconds * 1000 - 1);
      assert.equal(clock.pending, 1);
      clock.advance(1);
      await setImmediate();
    }
    assert.equal((await next.promise).version, 2n);
    assert.equal(clock.pending, 0);
  });
}

test("after its stop it looks no more", async () => {
  const clock = manualClock();
  const error = new StoreError("away");
  const store = storeOf([published(1n), error, error]);
  const publisher = await Publisher.start(store, { clock, log: linesOf().log });
  await publisher.refresh();
  assert.equal(clock.pending, 1);
  const looking = publisher.refresh();
  publisher.stop();
  await looking;
  assert.equal(clock.pending, 0);
});

test("a number in the ConfigMap that is none is told by name, and ends nothing", async (t) => {
  const kube = new FakeKube();
  const { lines, log } = linesOf();
  const publisher = await Publisher.start(await openStore(kube, manualClock()), { clock: manualClock(), log });
  t.after(() => publisher.stop());
  const before = publisher.current.version;
  for (const version of ["12a", "-1", "0x10", "", "99999999999999999999"]) {
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
