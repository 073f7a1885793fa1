/** How often an informer asks: with a client that ends every watch as the test says, and time moved by hand. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { KubeError } from "../../../../lib/kube/client.ts";
import type { KubeClient } from "../../../../lib/kube/client.ts";
import { Informer } from "../../../../lib/kube/informer.ts";
import type { Log } from "../../../../lib/log/log.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import type { ManualClock } from "../../../clock/manual-clock.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

type Rig = {
  readonly clock: ManualClock;
  readonly counts: { lists: number; watches: number };
  readonly failures: string[];
  /** How long each watch is to last, and may be silent. */
  readonly asked: readonly { readonly watchMs: number; readonly silenceMs: number }[];
  readonly informer: Informer<never>;
  /** Moves time, and lets the informer do what it then does. */
  readonly advance: (ms: number) => Promise<void>;
};

function rig(t: TestContext, watch: (nth: number, clock: ManualClock) => Readable): Rig {
  const clock = manualClock();
  const counts = { lists: 0, watches: 0 };
  const failures: string[] = [];
  const asked: { watchMs: number; silenceMs: number }[] = [];
  const client = {
    get: async () => {
      counts.lists++;
      return { metadata: { resourceVersion: "1" }, items: [] };
    },
    open: async (path: string, silenceMs: number) => {
      asked.push({ watchMs: Number(new URLSearchParams(path.split("?")[1]).get("timeoutSeconds")) * 1_000, silenceMs });
      await turn();
      return watch(++counts.watches, clock);
    },
  } as unknown as KubeClient;
  const log: Log = (_level, event, fields) => void failures.push(`${event} ${String(fields?.["detail"])}`);
  const informer = new Informer<never>({ client, clock, log, path: "/api/v1/pods" });
  t.after(() => informer.close());
  const settle = async (): Promise<void> => {
    for (let at = 0; at < 50; at++) await turn();
  };
  const advance = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await settle();
  };
  return { clock, counts, failures, asked, informer, advance };
}

/** Nothing for a while, then the end, or an error. */
async function* lasting(clock: ManualClock, ms: number, error: Error | null): AsyncGenerator<Buffer> {
  clock.advance(ms);
  if (error !== null) throw error;
  yield* [];
}

const bookmark = Buffer.from(
  `${JSON.stringify({ type: "BOOKMARK", object: { metadata: { resourceVersion: "2" } } })}\n`,
);

describe("a watch that ends at once", () => {
  test("is a failure: it is told, and the next one waits, each time twice as long", async (t) => {
    const { counts, failures, informer, advance } = rig(t, () => Readable.from([]));
    informer.start();
    await advance(0);
    assert.deepEqual(counts, { lists: 1, watches: 1 });
    assert.deepEqual(failures, ["watch_failed watch /api/v1/pods: the API server ended it at once"]);
    // Half of 200 ms, 400 ms, ...: the manual clock has no digits behind the millisecond.
    for (const [at, delay] of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000].entries()) {
      await advance(delay - 1);
      assert.equal(counts.watches, at + 1, `before ${delay} ms`);
      await advance(1);
      assert.equal(counts.watches, at + 2, `after ${delay} ms`);
    }
    assert.equal(counts.lists, 1);
  });

  test("waits as at first after one that told something", async (t) => {
    const { counts, informer, advance } = rig(t, (nth) => Readable.from(nth === 4 ? [bookmark] : []));
    informer.start();
    await advance(0);
    for (const delay of [100, 200, 400]) await advance(delay);
    assert.equal(counts.watches, 4);
    await advance(100);
    assert.equal(counts.watches, 5);
  });
});

test("a watch that lasted is followed by the next at once, and nothing is told", async (t) => {
  const { counts, failures, informer, advance } = rig(t, (nth, clock) => {
    if (nth > 3) return new Readable({ read: () => {} });
    return Readable.from(lasting(clock, 60_000, null));
  });
  informer.start();
  await advance(0);
  assert.deepEqual(counts, { lists: 1, watches: 4 });
  assert.deepEqual(failures, []);
});

test("a connection that died without a word is given up within half a minute, and no watch is silent so long", async (t) => {
  const { asked, informer, advance } = rig(t, () => new Readable({ read: () => {} }));
  informer.start();
  await advance(0);
  const [{ watchMs, silenceMs }] = asked as [(typeof asked)[number]];
  assert.ok(silenceMs <= 30_000, `${silenceMs} ms`);
  assert.ok(watchMs > 0 && watchMs + 5_000 < silenceMs, `${watchMs} ms, ${silenceMs} ms`);
});

test("a watch that broke after it had lasted waits as at first", async (t) => {
  const { counts, failures, informer, advance } = rig(t, (nth, clock) => {
    if (nth !== 3) return Readable.from([]);
    return Readable.from(lasting(clock, 30_000, new KubeError("watch", 0, "", "reset")));
  });
  informer.start();
  await advance(0);
  for (const delay of [100, 200]) await advance(delay);
  assert.deepEqual([counts.watches, failures.at(-1)], [3, "watch_failed watch: reset"]);
  await advance(100);
  assert.equal(counts.watches, 4);
});
