/**
 * Whole lines to a stream, many in one write, never waiting for it.
 *
 * Lines are gathered for one turn of the event loop or 8 KiB, and one write is under way at a time, so lines never
 * interleave and their order holds. What a blocked pipe or a full disk does not take is kept up to a bound; beyond it
 * lines are dropped and counted, and the process lives on; a line in their place says how many. Pure: the stream is an
 * argument.
 */
import type { Writable } from "node:stream";
import type { Clock } from "../clock/clock.ts";

export type LineWriter = {
  /** Takes a line with its line feed. */
  write(line: string): void;
  /** Resolves when all is written, or after `deadlineMs` whatever is left: the last thing to do before `process.exit`. */
  flush(deadlineMs: number): Promise<void>;
  /** Lines that were not written. */
  dropped(): number;
  /** The next line may be dropped: who owes one for what he does must not do it. */
  isFull(): boolean;
};

export type LineStream = Pick<Writable, "write" | "on">;

const batchBytes = 8_192;
const heldBytes = 1_048_576;
/** More than a line has, whose fields are cut. */
const longestLine = 65_536;

/** `gap` makes the line that stands for lines that were dropped. */
export function createLineWriter(stream: LineStream, clock: Clock, gap: (count: number) => string): LineWriter {
  const writer = new BatchingWriter(stream, clock, gap);
  // Each failed write is also told to its own callback; unheard, the event would end the process.
  stream.on("error", () => {});
  return writer;
}

class BatchingWriter implements LineWriter {
  readonly #stream: LineStream;
  readonly #clock: Clock;
  readonly #gap: (count: number) => string;
  #lines: string[] = [];
  #length = 0;
  #scheduled = false;
  #writing = false;
  /** A failed write may have left half a line behind; the next one starts on a fresh line. */
  #torn = false;
  #dropped = 0;
  /** Dropped lines that a written line stands for. */
  #told = 0;
  #idle: (() => void)[] = [];

  constructor(stream: LineStream, clock: Clock, gap: (count: number) => string) {
    this.#stream = stream;
    this.#clock = clock;
    this.#gap = gap;
  }

  write(line: string): void {
    if (this.#length + line.length > heldBytes) {
      this.#dropped++;
      return;
    }
    this.#lines.push(line);
    this.#length += line.length;
    if (this.#length >= batchBytes) this.#flush();
    else if (!this.#scheduled) this.#schedule();
  }

  #flush(): void {
    if (this.#writing || this.#lines.length === 0) return;
    const count = this.#lines.length;
    const dropped = this.#dropped;
    // What did not fit came after what is held.
    const gap = dropped > this.#told ? this.#gap(dropped - this.#told) : "";
    const text = (this.#torn ? "\n" : "") + this.#lines.join("") + gap;
    this.#lines = [];
    this.#length = 0;
    this.#torn = false;
    this.#writing = true;
    try {
      this.#stream.write(text, (error) => this.#written({ count, dropped }, error));
    } catch (error) {
      this.#written({ count, dropped }, error as Error);
    }
  }

  isFull(): boolean {
    return this.#length + longestLine > heldBytes;
  }

  flush(deadlineMs: number): Promise<void> {
    this.#flush();
    if (!this.#writing) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.after(deadlineMs, resolve);
      this.#idle.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  dropped(): number {
    return this.#dropped;
  }

  #schedule(): void {
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** `count` lines, and a gap up to `dropped`. */
  #written({ count, dropped }: { count: number; dropped: number }, error: Error | null | undefined): void {
    this.#writing = false;
    if (error === null || error === undefined) this.#told = dropped;
    else {
      this.#dropped += count;
      this.#torn = true;
    }
    if (this.#lines.length > 0) {
      // Not in this callback: a stream that fails synchronously would recurse.
      if (!this.#scheduled) this.#schedule();
      return;
    }
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
