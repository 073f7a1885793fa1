/**
 * What has come and nobody takes: counted while there is any, and bounded for the proxy as a whole.
 *
 * A connection may have 256 KiB unread and 64 KiB on their way out at each end, so 500 slow readers at once were 440 MB where the
 * container may have 256, and the kernel ended the proxy with all that flowed through it. From an eighth of the bound on each may
 * hold less: windows, reads and what waits to be sent get smaller, which who reads hardly feels while so much is under way. What
 * exceeds the bound all the same is reset, the connections that hold most first.
 */
import type { Duplex } from "node:stream";
import type { Clock, Timer } from "../../lib/clock/clock.ts";
import type { Log } from "../../lib/log/log.ts";
import type { Cut } from "../connection.ts";
import { queueAtMost } from "./high-water-marks.ts";
import { reset } from "./relay.ts";
import { readAtMost } from "./shared-reads.ts";
import { lengthOfBlock } from "./small-pieces.ts";

const kib = 1024;
const mib = 1024 * kib;

/** Until the next look, in milliseconds. */
const lookIn = {
  /** As fast as a core decrypts, 50 MB come meanwhile. A look at 1 000 connections takes 0.1 ms. */
  soon: 100,
  /** While nothing waits, but so many are open that they could reach the bound with nobody told to stop. */
  later: 500,
} as const;
/** What a connection may have on its way out before that, at both ends. */
const untold = 2 * 64 * kib;

/** From that share of the bound on, so much may wait in each place. */
const levels = [
  { from: 0, most: Number.POSITIVE_INFINITY },
  { from: 1 / 8, most: 64 * kib },
  { from: 1 / 4, most: 16 * kib },
] as const;

/** The level rises at once, and falls where half of what it began at is left: windows must not change with each look. */
export function nextLevel(level: number, share: number): number {
  const risen = levels.findLastIndex(({ from }) => share >= from);
  const kept = levels.findLastIndex(({ from }) => share >= from / 2);
  return Math.max(risen, Math.min(level, kept));
}

/**
 * Octets that may wait in a container with that limit of memory. It holds as much again that is not collected yet, and as much
 * between what is used and what is free.
 */
export function bufferedWithin(limit: number): number {
  if (limit > mostOfAnyMachine) return withoutLimit;
  return Math.max(Math.floor((limit - ofAnIdleProxy) / 4), least);
}
/** Without a limit Node says a number beyond it. */
const mostOfAnyMachine = 2 ** 50;
const withoutLimit = 128 * mib;
const ofAnIdleProxy = 64 * mib;
const least = 8 * mib;

/** How much is left where connections were reset, so that the next look does not reset others. */
const leftAfterResets = 7 / 8;

const heldBy = (end: Duplex): number => end.readableLength + end.writableLength + lengthOfBlock(end);

export type Windowed = { limitWindow(most: number): void };
/** A connection that is open. */
export type Holding = { readonly client: Duplex; readonly server: Duplex; cut(why: Cut): void };

type Parts = {
  readonly clock: Clock;
  readonly log: Log;
  readonly limit: number;
  /** What others have opened here, whether it leads anywhere yet or not. */
  readonly admitted: ReadonlySet<Duplex>;
  readonly open: ReadonlySet<Holding>;
  readonly sessions: () => Iterable<Windowed>;
};

export class Backlog {
  readonly #parts: Parts;
  #level = 0;
  #next: keyof typeof lookIn | null = null;
  #timer: Timer | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Something waits, or may before long: a connection has come, or somebody was told to stop. Not called for each piece that
   * comes, which was 3 % of a request.
   */
  soon(): void {
    if (this.#next !== "soon") this.#lookIn("soon");
  }

  #lookIn(next: keyof typeof lookIn): void {
    this.#timer?.cancel();
    this.#next = next;
    this.#timer = this.#parts.clock.after(lookIn[next], this.#look);
  }

  readonly #look = (): void => {
    this.#next = null;
    const { limit, open } = this.#parts;
    const held = this.#count();
    const level = nextLevel(this.#level, held / limit);
    // At the same level too: others have come since.
    if (level > 0 || this.#level > 0) this.#limitEach(levels[level]!.most);
    this.#level = level;
    if (held > limit) this.#resetDownTo(limit * leftAfterResets, held);
    if (held > 0) this.#lookIn("soon");
    else if (open.size * untold > limit) this.#lookIn("later");
  };

  #limitEach(octets: number): void {
    readAtMost(octets);
    for (const session of this.#parts.sessions()) session.limitWindow(octets);
    for (const { client, server } of this.#parts.open) {
      queueAtMost(client, octets);
      queueAtMost(server, octets);
    }
  }

  #count(): number {
    let held = 0;
    for (const end of this.#parts.admitted) held += heldBy(end);
    for (const { server } of this.#parts.open) held += heldBy(server);
    return held;
  }

  #resetDownTo(most: number, held: number): void {
    const { admitted, open, limit, log } = this.#parts;
    const ofOpen = [...open].map((connection) => {
      const octets = heldBy(connection.client) + heldBy(connection.server);
      const detail = `${octets} octets waited, in all ${held} of ${limit}`;
      return { end: connection.client, octets, reset: () => connection.cut({ reason: "backlog_full", detail }) };
    });
    const known = new Set(ofOpen.map(({ end }) => end));
    const dialled = [...admitted]
      .filter((end) => !known.has(end))
      .map((end) => ({ end, octets: heldBy(end), reset: () => reset(end) }));
    let [left, resets] = [held, 0];
    for (const each of [...ofOpen, ...dialled].toSorted((a, b) => b.octets - a.octets)) {
      if (left <= most) break;
      each.reset();
      left -= each.octets;
      resets++;
    }
    log("warn", "backlog_full", { held, limit, resets });
  }
}
