/** Sessions that are re-authenticated in band: what is open on them outlives certificates, for as long as both ends renew. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { constants } from "node:http2";
import type { ClientHttp2Stream, ServerHttp2Stream } from "node:http2";
import { describe, test } from "node:test";
import { Dataplane } from "../../../../proxy/dataplane.ts";
import { handleSession } from "../../../../proxy/inbound.ts";
import { avoidedMs } from "../../../../proxy/session/session.ts";
import { closed, echo, leafOf, lifetimeMs, pair, rawClient, stream } from "./pair.ts";
import type { Pair } from "./pair.ts";
import { ownCredentials, peer } from "./peer.ts";
import { manualClock } from "../../../clock/manual-clock.ts";

/** Below the interval of PINGs: each is answered before the clock is moved to its time limit. */
const step = 4_000;

/** Moves the clock and lets exchanges and PINGs that it set off be answered. */
async function pass(here: Pair, long: Awaited<ReturnType<typeof stream>>): Promise<void> {
  here.clock.advance(step);
  await echo(long);
  await echo(long);
}

async function exchanged({ exchanges }: Pair, count: number): Promise<void> {
  while (exchanges.length < count) await new Promise((resolve) => setImmediate(resolve));
}

async function gone({ facts: { http2 } }: Pair["pool"]["sessions"][number]): Promise<void> {
  if (!http2.destroyed) await once(http2, "close");
}

/** The next stream is refused as not processed, as by a peer that is overwhelmed. */
function refuseNext({ facts: { http2 } }: Pair["accepted"][number]): void {
  const serving = http2.listeners("stream");
  http2.removeAllListeners("stream");
  http2.once("stream", (refused) => {
    refused.on("error", () => {});
    refused.close(constants.NGHTTP2_REFUSED_STREAM);
    for (const each of serving) http2.on("stream", each as (stream: ServerHttp2Stream) => void);
  });
}

async function shortConnection(here: Pair): Promise<void> {
  const short = await stream(here);
  await echo(short);
  short.end();
  await once(short, "close");
}

test("a stream lives through a hundred renewals of both ends, and no request beside it fails", async (t) => {
  const here = await pair(t);
  const long = await stream(here);
  for (let renewal = 1; renewal <= 100; renewal++) {
    here.renewBoth();
    const short = Promise.all(Array.from({ length: 20 }, () => shortConnection(here)));
    here.clock.advance(step);
    await exchanged(here, 2 * renewal);
    await short;
    await echo(long, `after renewal ${renewal}`);
  }
  assert.deepEqual([...new Set(here.exchanges.map(({ reason }) => reason))], [null]);
  assert.equal(here.pool.sessions.length, 1, "all of it was one session");
  const [ours] = here.pool.sessions;
  const [theirs] = here.accepted;
  assert.equal(ours!.end, here.client.current().identity.notAfter);
  assert.equal(theirs!.end, ours!.end);
  assert.equal(ours!.terms.generation, 101);
});

test("what is open where the peer did not take another stream lives on as well; others go elsewhere for a while", async (t) => {
  const here = await pair(t);
  const long = await stream(here);
  const [avoided] = here.pool.sessions;
  refuseNext(here.accepted[0]!);
  const short = await stream(here);
  assert.equal(here.pool.sessions.length, 2, "it was asked again on another session");
  for (let passed = 0; passed < 2 * lifetimeMs; passed += step) {
    assert.equal(avoided!.usable, passed >= avoidedMs, `after ${passed} ms`);
    if (passed % (5 * step) === 0) here.renewBoth();
    await pass(here, long);
    await echo(short);
  }
  assert.ok(avoided!.end > here.clock.now());
});

test("where nothing is open, the session of a stream that the peer did not take ends at once", async (t) => {
  const here = await pair(t);
  await shortConnection(here);
  const [avoided] = here.pool.sessions;
  refuseNext(here.accepted[0]!);
  await stream(here);
  await gone(avoided!);
  assert.equal(avoided!.endReason, null);
});

test("a peer's renewal is noticed without one of our own, before what it showed first has ended", async (t) => {
  const here = await pair(t);
  const long = await stream(here);
  const [session] = here.pool.sessions;
  here.server.renew();
  // Ours is the same all the time: the session ends with it, and not before.
  for (let passed = step; passed < lifetimeMs - step; passed += step) {
    if (passed === 7 * step) here.server.renew();
    await pass(here, long);
  }
  assert.ok(here.exchanges.length >= 2);
  assert.ok(session!.terms.peer.notAfter > here.client.current().identity.notAfter);
  here.clock.advance(2 * step);
  await gone(session!);
});

describe("where one end does not renew, what is open ends with that end's certificate, and says so", () => {
  for (const who of ["client", "server"] as const) {
    test(who, async (t) => {
      const here = await pair(t);
      const long = await stream(here);
      const [ours] = here.pool.sessions;
      const first = { ours: here.pool.sessions[0]!.end, theirs: here.accepted[0]!.end };
      here[who === "client" ? "server" : "client"].renew();
      for (let passed = step; passed < lifetimeMs - step; passed += step) await pass(here, long);
      assert.deepEqual({ ours: ours!.end, theirs: here.accepted[0]!.end }, first, "not a moment later");
      const ended = closed(long);
      here.clock.advance(2 * step);
      await ended;
      assert.equal(ours!.whyCut(long), "certificate_ended");
      assert.equal(here.accepted[0]!.endReason, "certificate_ended");
    });
  }
});

test("what is open ends with its certificates also where the machine slept meanwhile, and nothing new is opened", async (t) => {
  const here = await pair(t);
  const long = await stream(here);
  const [ours] = here.pool.sessions;
  const [theirs] = here.accepted;
  for (let passed = step; passed < 30_000; passed += step) await pass(here, long);
  assert.equal(ours!.usable, true);
  const ended = closed(long);
  here.clock.leap(lifetimeMs);
  assert.deepEqual([ours!.usable, theirs!.isOver], [false, true]);
  here.clock.advance(step);
  await ended;
  assert.deepEqual([ours!.endReason, theirs!.endReason], ["certificate_ended", "certificate_ended"]);
});

test("a stream that comes after the end, from a peer that was not asleep, ends the session", async (t) => {
  const here = await pair(t);
  const long = await stream(here);
  const [theirs] = here.accepted;
  handleSession(theirs!, new Dataplane({ clock: here.clock, maxConnections: 10 } as never));
  here.clock.leap(lifetimeMs);
  const late = here.pool.sessions[0]!.facts.http2.request({ ":method": "CONNECT", ":authority": "127.0.0.1:8080" });
  late.on("error", () => {});
  await closed(long);
  assert.equal(theirs!.endReason, "certificate_ended");
});

test("an idle session is not kept alive", async (t) => {
  const here = await pair(t);
  const short = await stream(here);
  short.end();
  short.resume();
  await once(short, "close");
  const [session] = here.pool.sessions;
  here.renewBoth();
  await gone(session!);
  assert.deepEqual(here.exchanges, []);
  assert.deepEqual(here.pool.sessions, []);
});

describe("with a peer that does not know it", () => {
  const count = 9;

  test("as client: nothing new on the old session after our renewal, and its streams end one by one", async (t) => {
    const clock = manualClock(Date.now());
    const own = ownCredentials();
    const end = clock.now() + lifetimeMs;
    let current = { ...own, identity: { ...own.identity, notAfter: end } };
    const ends: string[] = [];
    const onStream = (asked: ServerHttp2Stream): void => {
      watchEnd(asked, ends);
      asked.respond({ ":status": 200 });
    };
    const { pool, request } = await peer(t, { clock, onStream, credentials: () => current });
    const streams = await Promise.all(Array.from({ length: count }, () => stream({ pool, request })));
    const [session] = pool.sessions;
    assert.equal(session!.reauthenticates, false);
    const later = clock.now() + 2 * lifetimeMs;
    current = { ...own, identity: { ...own.identity, generation: 2, notAfter: later } };
    pool.renew(current);
    await stream({ pool, request });
    assert.equal(pool.sessions.length, 2);
    await endsOneByOne({ clock, session: session!, streams });
    // What the record of each connection says, and the metric counts.
    assert.deepEqual([...new Set(streams.map((each) => session!.whyCut(each)))], ["certificate_ended"]);
    await gone(session!);
    assert.equal(session!.usable, false);
    while (ends.length < count) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([...new Set(ends)], ["reset"]);
  });

  test("as server: its streams end one by one, and its session with them", async (t) => {
    const here = await pair(t);
    const raw = await rawClient(t, here.port, { leaf: leafOf({}), knows: false });
    const ends: string[] = [];
    const streams = await Promise.all(
      Array.from({ length: count }, async () => {
        const each = raw.http2.request({ ":method": "CONNECT", ":authority": "127.0.0.1:8080" });
        each.on("error", () => {});
        await once(each, "response");
        watchEnd(each, ends);
        return each;
      }),
    );
    const [session] = here.accepted;
    assert.equal(session!.reauthenticates, false);
    await endsOneByOne({ clock: here.clock, session: session!, streams });
    assert.deepEqual(ends, Array(count).fill("reset"));
  });

  /** What the far end of a stream was told, first of all: half a transfer must not look like a whole one. */
  function watchEnd(far: ClientHttp2Stream | ServerHttp2Stream, ends: string[]): void {
    let told = false;
    const tell = (what: string): void => {
      if (!told) ends.push(what);
      told = true;
    };
    far.on("end", () => tell(far.rstCode === 0 && !far.aborted && !far.destroyed ? "end" : "reset"));
    far.on("close", () => tell("reset"));
    far.resume();
  }

  type Ending = {
    readonly clock: ReturnType<typeof manualClock>;
    readonly session: Pair["accepted"][number] | Pair["pool"]["sessions"][number];
    readonly streams: readonly { readonly closed: boolean; readonly destroyed: boolean }[];
  };

  async function endsOneByOne({ clock, session, streams }: Ending): Promise<void> {
    const alive = (): number => streams.filter((each) => !each.closed && !each.destroyed).length;
    const turns = async (): Promise<void> => {
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    };
    const last = (session.end - clock.now()) / 10;
    // PINGs are answered in between.
    for (let left = session.end - clock.now() - last - 1; left > 0; left -= step) {
      clock.advance(Math.min(step, left));
      await turns();
    }
    assert.equal(alive(), count, "none before the last part");
    for (let each = 0; each < count; each++) {
      clock.advance(each === 0 ? 2 : Math.ceil(last / (count + 1)));
      while (alive() === count - each) await turns();
      assert.equal(alive(), count - each - 1);
    }
  }
});
