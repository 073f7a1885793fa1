/** How much may wait in a proxy, what happens on the way there and beyond, and that nothing is looked at while nothing flows. */
import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { Backlog, bufferedWithin, nextLevel } from "../../../../proxy/relay/backlog.ts";
import type { Holding } from "../../../../proxy/relay/backlog.ts";
import { gatherSmall } from "../../../../proxy/relay/small-pieces.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import type { ManualClock } from "../../../clock/manual-clock.ts";

const mib = 1024 * 1024;

describe("windows", () => {
  for (const [level, share, next] of [
    [0, 0, 0],
    [0, 0.124, 0],
    [0, 0.125, 1],
    [0, 0.25, 2],
    [0, 7, 2],
    [1, 0.25, 2],
    [1, 0.1, 1],
    [1, 0.06, 0],
    [2, 0.13, 2],
    [2, 0.12, 1],
    [2, 0.06, 0],
    [2, 0, 0],
  ] as const)
    test(`level ${level} with ${share} of the bound: ${next}`, () => assert.equal(nextLevel(level, share), next));
});

test("a quarter of the memory that an idle proxy leaves of its container's may wait, and without a limit 128 MiB", () => {
  assert.equal(bufferedWithin(256 * mib), 48 * mib);
  assert.equal(bufferedWithin(64 * mib), 8 * mib);
  assert.equal(bufferedWithin(4096 * mib), 1008 * mib);
  // What Node says where no limit is set, with either version of control groups.
  for (const none of [18_446_744_073_709_552_000, 9_223_372_036_854_771_712])
    assert.equal(bufferedWithin(none), 128 * mib);
});

type Rig = {
  readonly clock: ManualClock;
  readonly backlog: Backlog;
  /** An end with so much unread. */
  readonly end: (octets: number) => Duplex;
  readonly admitted: Set<Duplex>;
  readonly connect: (client: Duplex, server: Duplex) => void;
  readonly overflown: string[];
  readonly windows: number[];
  readonly lines: unknown[];
  readonly settle: () => Promise<void>;
};

function rig(limit: number): Rig {
  const clock = manualClock();
  const [admitted, open] = [new Set<Duplex>(), new Set<Holding>()];
  const [overflown, windows, lines]: [string[], number[], unknown[]] = [[], [], []];
  const end = (octets: number): Duplex => {
    const duplex = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
    duplex.push(Buffer.alloc(octets));
    return duplex;
  };
  const backlog = new Backlog({
    clock,
    log: (level, event, fields) => lines.push([level, event, fields]),
    limit,
    admitted,
    open,
    sessions: () => [{ limitWindow: (most) => windows.push(most) }],
  });
  const connect = (client: Duplex, server: Duplex): void => {
    admitted.add(client);
    const connection: Holding = {
      client,
      server,
      cut: ({ reason, detail }) => {
        assert.equal(reason, "backlog_full");
        overflown.push(detail!);
        for (const each of [client, server]) each.destroy();
        open.delete(connection);
        admitted.delete(client);
      },
    };
    open.add(connection);
  };
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { clock, backlog, end, admitted, connect, overflown, windows, lines, settle };
}

describe("what waits", () => {
  test("is looked at while something does, and not any more after that", () => {
    const { clock, backlog, end, connect } = rig(1_000_000);
    const client = end(10);
    connect(client, end(0));
    assert.equal(clock.pending, 0);
    backlog.soon();
    backlog.soon();
    assert.equal(clock.pending, 1);
    clock.advance(100);
    assert.equal(clock.pending, 1, "ten octets wait");
    client.read();
    clock.advance(100);
    assert.equal(clock.pending, 0);
  });

  test("is looked for now and then where many are open, who may hold much before anybody is told to stop", () => {
    const { clock, backlog, end, connect, windows } = rig(1_000_000);
    const ends = Array.from({ length: 8 }, () => end(0));
    for (const client of ends.slice(0, 7)) connect(client, end(0));
    backlog.soon();
    clock.advance(100);
    assert.equal(clock.pending, 0, "seven cannot hold so much");
    connect(ends[7]!, end(0));
    backlog.soon();
    clock.advance(100);
    assert.equal(clock.pending, 1);
    ends[0]!.push(Buffer.alloc(300_000));
    clock.advance(499);
    assert.deepEqual(windows, []);
    clock.advance(1);
    assert.deepEqual(windows.splice(0), [16 * 1024]);
    while (ends[0]!.read() !== null);
    clock.advance(100);
    assert.deepEqual(windows.splice(0), [Number.POSITIVE_INFINITY]);
    // Sooner where somebody is told to stop meanwhile.
    ends[0]!.push(Buffer.alloc(300_000));
    backlog.soon();
    clock.advance(100);
    assert.deepEqual(windows, [16 * 1024]);
  });

  test("makes windows and queues smaller from an eighth of the bound on, and wider again when it is gone", () => {
    const { clock, backlog, end, connect, windows } = rig(1_000);
    const [client, server] = [end(124), end(0)];
    connect(client, server);
    backlog.soon();
    clock.advance(100);
    assert.deepEqual(windows, []);
    const mark = server.writableHighWaterMark;
    server.push(Buffer.alloc(1));
    clock.advance(100);
    assert.deepEqual(windows.splice(0), [64 * 1024]);
    server.push(Buffer.alloc(125));
    clock.advance(200);
    assert.deepEqual(windows.splice(0), [16 * 1024, 16 * 1024], "a session may have come since");
    assert.deepEqual([client.writableHighWaterMark, server.writableHighWaterMark], [16 * 1024, 16 * 1024]);
    for (const each of [client, server]) while (each.read() !== null);
    clock.advance(1_000);
    assert.deepEqual(windows, [Number.POSITIVE_INFINITY]);
    assert.equal(server.writableHighWaterMark, mark);
  });

  test("counts both ends, what is on its way out of them, and blocks of small pieces", () => {
    const { clock, backlog, end, admitted, windows } = rig(100_000);
    const small = end(0);
    gatherSmall(small);
    // A block takes 16 KiB, however little is in it.
    small.push(Buffer.alloc(10));
    const stuck = new Duplex({ read: () => {}, write: () => {} });
    stuck.write(Buffer.alloc(9_000));
    for (const each of [small, stuck]) admitted.add(each);
    backlog.soon();
    clock.advance(100);
    assert.deepEqual(windows, [16 * 1024]);
  });

  test("beyond the bound is reset, what holds most first, with some room for what comes", () => {
    const { clock, backlog, end, connect, overflown, lines } = rig(1_000);
    connect(end(100), end(0));
    connect(end(500), end(100));
    connect(end(0), end(290));
    connect(end(11), end(0));
    backlog.soon();
    clock.advance(100);
    assert.deepEqual(overflown, ["600 octets waited, in all 1001 of 1000"]);
    assert.deepEqual(lines, [["warn", "backlog_full", { held: 1_001, limit: 1_000, resets: 1 }]]);
    clock.advance(100);
    assert.equal(overflown.length, 1);
  });

  test("before its connection is open, too", async () => {
    const { clock, backlog, end, admitted, connect, overflown, settle } = rig(1_000);
    const early = end(900);
    early.on("error", () => {});
    admitted.add(early);
    connect(end(101), end(0));
    backlog.soon();
    clock.advance(100);
    await settle();
    assert.equal(early.destroyed, true);
    assert.deepEqual(overflown, []);
  });
});
