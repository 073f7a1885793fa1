/**
 * The numbers of bundles, in both stores: whoever follows bundles takes none with a lower number than one that it has seen, so
 * none may come - not where the record is new or from a backup, and not where the clocks of two processes differ. Nor do
 * clocks that differ make two processes publish different bundles.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { openFolder } from "../../../ca/store/folder.ts";
import type { Store } from "../../../ca/store/store.ts";
import { numberState } from "../../../ca/store/versions.ts";
import { silent } from "../../../lib/log/log.ts";
import { manualClock } from "../../clock/manual-clock.ts";
import type { ManualClock } from "../../clock/manual-clock.ts";
import { bundlePath, FakeKube, openStore } from "./fake-kube.ts";

function newFolder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "tencrypt-numbers-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A store of either kind, and what happens to its record. */
type Place = {
  open(clock: ManualClock): Promise<Store>;
  /** Another state of knowledge. */
  change(store: Store, project: string): Promise<void>;
  loseRecord(): void;
  /** What comes back from a backup. */
  recordIs(version: bigint): void;
};

const places: Readonly<Record<string, (t: TestContext) => Place>> = {
  folder: (t) => {
    const path = newFolder(t);
    const record = join(path, "bundle");
    return {
      open: (clock) => openFolder({ path, trustDomain: "cluster.local" }, clock, silent),
      change: async (store, project) => {
        assert.equal((await store.issuerOf(project, null)).kind, "issuer");
      },
      loseRecord: () => rmSync(record, { recursive: true }),
      recordIs: (version) => {
        for (const name of readdirSync(record)) rmSync(join(record, name));
        writeFileSync(join(record, version.toString().padStart(20, "0")), "another\n");
      },
    };
  },
  kubernetes: () => {
    const kube = new FakeKube();
    return {
      open: (clock) => openStore(kube, clock),
      change: async (store, project) => {
        kube.project(project, `uid-of-${project}`);
        assert.equal((await store.issuerOf(project, `uid-of-${project}`)).kind, "issuer");
      },
      loseRecord: () => kube.remove(bundlePath),
      recordIs: (version) =>
        void kube.put(bundlePath, {
          metadata: { name: "tencrypt-bundle" },
          data: { version: version.toString(), digest: "another" },
        }),
    };
  },
};

const hour = 3_600_000;
/** What the ca dates its certificates back by is more: the other process does not find them to be of the future. */
const skew = 30_000;

for (const [kind, placeOf] of Object.entries(places)) {
  describe(`numbers of the store: ${kind}`, () => {
    test("a number is above the clock, above the last one and above what the process has published", async (t) => {
      const clock = manualClock();
      const place = placeOf(t);
      const store = await place.open(clock);
      const now = BigInt(clock.now());
      assert.equal((await store.publish(0n)).version, now + 1n);
      await place.change(store, "shop");
      assert.equal((await store.publish(now + 1n)).version, now + 2n);
      await place.change(store, "billing");
      assert.equal((await store.publish(now + 40n)).version, now + 41n);
      assert.equal((await store.publish(now + 41n)).version, now + 41n, "nothing changed");
      clock.advance(hour);
      await place.change(store, "third");
      assert.equal((await store.publish(now + 41n)).version, now + BigInt(hour) + 1n);
    });

    for (const [what, happens] of [
      ["is lost, as in a new installation", (place: Place) => place.loseRecord()],
      ["comes back from a backup", (place: Place, first: bigint) => place.recordIs(first - 100n)],
    ] as const)
      test(`numbers go up for those who have seen the earlier ones when the record ${what}`, async (t) => {
        const clock = manualClock();
        const place = placeOf(t);
        const store = await place.open(clock);
        const first = (await store.publish(0n)).version;
        for (const name of ["a", "b", "c", "d", "e"]) {
          await place.change(store, name);
          clock.advance(1_000);
          await store.publish(0n);
        }
        const seen = (await store.publish(0n)).version;
        happens(place, first);
        clock.advance(1_000);
        const next = await (await place.open(clock)).publish(0n);
        assert.ok(next.version > seen, `${next.version} after ${seen}`);
      });

    test("a process whose clock is behind goes on above the other's numbers", async (t) => {
      const place = placeOf(t);
      const [ahead, behind] = [manualClock(1_700_000_000_000 + skew), manualClock()];
      const [one, other] = [await place.open(ahead), await place.open(behind)];
      const first = (await one.publish(0n)).version;
      await place.change(other, "shop");
      assert.equal((await other.publish(0n)).version, first + 1n);
      await place.change(one, "billing");
      const third = await one.publish(first);
      assert.deepEqual([third.version, third.knowledge.projects.size], [first + 2n, 2]);
      assert.equal((await other.publish(first + 1n)).version, first + 2n);
    });
    test("a CA that another process dated later than this one's clock is in the bundle, and signs once it is valid", async (t) => {
      const place = placeOf(t);
      const [ahead, behind] = [manualClock(), manualClock()];
      const [one, other] = [await place.open(ahead), await place.open(behind)];
      const empty = await other.publish(0n);
      ahead.advance(150_000);
      await place.change(one, "shop");
      const published = await one.publish(empty.version);
      assert.equal(published.knowledge.projects.size, 1);
      assert.deepEqual(await other.publish(empty.version), published);
      const uid = published.knowledge.projects.get("shop")!.uid;
      assert.equal((await other.issuerOf("shop", uid)).kind, "denial");
      behind.advance(150_000);
      assert.equal((await other.issuerOf("shop", uid)).kind, "issuer");
      assert.deepEqual(await other.publish(empty.version), published);
    });
  });
}

describe("two processes that number the same folder at once", () => {
  for (const [what, first, second] of [
    ["lower", 200, 100],
    ["higher", 100, 200],
  ] as const)
    test(`what was seen before the other one took a ${what} number is looked at again`, async (t) => {
      const folder = newFolder(t);
      const seen: string[] = [];
      const otherTakes = { version: 0n };
      const mine = await numberState(folder, { atLeast: 0n, now: first }, async () => {
        if (seen.push("look") > 1) return { digest: "new", state: "new" };
        const other = await numberState(folder, { atLeast: 0n, now: second }, async () => ({
          digest: "new",
          state: "new",
        }));
        otherTakes.version = other.version;
        return { digest: "old", state: "old" };
      });
      assert.equal(seen.length, 2);
      assert.equal(mine.state, "new");
      assert.ok(mine.version >= otherTakes.version);
    });
});
