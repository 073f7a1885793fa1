/**
 * Windows that change while streams have data in them, over real sessions: what a stream may have unread is bounded by the
 * window of now, one that has more loses nothing, and no change makes a peer end the session.
 */
import assert from "node:assert/strict";
import type { ClientHttp2Stream, Settings } from "node:http2";
import { test } from "node:test";
import { readNothingAhead } from "../../../../proxy/relay/high-water-marks.ts";
import { echo, pair, stream } from "./pair.ts";
import type { Pair } from "./pair.ts";

const kib = 1024;

/** Sends more than any window, reads nothing of what comes back, and gives how much that is in the end. */
async function unread(here: Pair, stuck: ClientHttp2Stream): Promise<number> {
  readNothingAhead(stuck);
  stuck.pause();
  stuck.write(Buffer.alloc(1024 * kib, "x"));
  const other = await stream(here);
  let [held, same] = [-1, 0];
  while (same < 20) {
    await echo(other);
    same = stuck.readableLength === held ? same + 1 : 0;
    held = stuck.readableLength;
  }
  other.destroy();
  return held;
}

function session({ pool }: Pair): Pair["pool"]["sessions"][number] {
  const [first, second] = pool.sessions;
  assert.ok(first !== undefined && second === undefined);
  return first;
}

/** But for the few octets of the echo before, of which the peer is told only with others. */
function assertAbout(held: number, window: number): void {
  assert.ok(held <= window && held > window - 100, `${held} octets of ${window}`);
}

/** All that was sent comes back. */
const readAll = (stuck: ClientHttp2Stream): Promise<number> =>
  new Promise((resolve) => {
    let octets = 0;
    stuck.on("data", (chunk: Buffer) => (octets += chunk.length));
    stuck.on("end", () => resolve(octets));
    stuck.on("close", () => resolve(-1));
    stuck.resume();
    stuck.end();
  });

test("a stream has as much unread as its window, which may be small", async (t) => {
  const here = await pair(t);
  const wide = await stream(here);
  assertAbout(await unread(here, wide), 256 * kib);
  session(here).limitWindow(16 * kib);
  const narrow = await stream(here);
  await echo(narrow);
  assertAbout(await unread(here, narrow), 16 * kib);
  // The other one has 240 KiB more than it may, and takes nothing new until they are read.
  assert.equal(wide.readableLength, 256 * kib);
  assert.deepEqual([await readAll(wide), await readAll(narrow)], [1024 * kib, 1024 * kib]);
  session(here).limitWindow(Number.POSITIVE_INFINITY);
  const again = await stream(here);
  await echo(again);
  assertAbout(await unread(here, again), 256 * kib);
  assert.equal(here.pool.sessions.length, 1);
});

test("windows that change all the time lose nothing", async (t) => {
  const here = await pair(t);
  const streams = await Promise.all(Array.from({ length: 8 }, () => stream(here)));
  let changes = 0;
  const changing = setInterval(() => {
    const next = [16, 256, 64][changes++ % 3]! * kib;
    for (const each of [...here.pool.sessions, ...here.accepted]) each.limitWindow(next);
  }, 1);
  t.after(() => clearInterval(changing));
  const all = streams.map((each) => {
    each.write(Buffer.alloc(8 * 1024 * kib, "y"));
    return readAll(each);
  });
  assert.deepEqual(new Set(await Promise.all(all)), new Set([8 * 1024 * kib]));
  assert.equal(here.accepted.length, 1);
  assert.ok(changes > 10, `${changes} changes`);
});

test("a peer is told one thing at a time, and the last one after all", async (t) => {
  const here = await pair(t);
  await stream(here);
  const told: (readonly [number | undefined, () => void])[] = [];
  const { http2 } = session(here).facts;
  http2.settings = (settings: Settings, answered?: (error: null, settings: Settings, ms: number) => void): void =>
    void told.push([settings.initialWindowSize, () => answered?.(null, settings, 0)]);
  for (let round = 0; round < 50; round++)
    for (const window of [64, 16, Number.POSITIVE_INFINITY, 16]) session(here).limitWindow(window * kib);
  assert.deepEqual(
    told.map(([window]) => window),
    [64 * kib],
  );
  told[0]![1]();
  told[1]![1]();
  assert.deepEqual(
    told.map(([window]) => window),
    [64 * kib, 16 * kib],
  );
});
