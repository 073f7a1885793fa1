/** Few turns at a time in all and of one caller, and who was served least is next. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Turns } from "../../../../lib/limit/turns.ts";
import type { Turn } from "../../../../lib/limit/turns.ts";

type Taken = { readonly key: string; readonly end: Turn["end"] };

/** Everything that has a turn, in the order in which it got it. */
class Line {
  readonly given: Taken[] = [];
  readonly #turns: Turns;

  constructor(capacity: number, ofOne: number, waitingOfOne = 100) {
    this.#turns = new Turns({ capacity, ofOne, waitingOfOne });
  }

  take(key: string, count = 1): number {
    let refused = 0;
    for (let each = 0; each < count; each++) {
      const turn = this.#turns.ask(key);
      if (turn === null) refused++;
      else void turn.granted.then(() => this.given.push({ key, end: () => turn.end() }));
    }
    return refused;
  }

  /** Ends the turn that was given first; what is given for it is seen when the promise resolves. */
  async end(): Promise<void> {
    this.given.shift()?.end();
    await this.settled();
  }

  async settled(): Promise<string> {
    await new Promise((resolve) => setImmediate(resolve));
    return this.given.map(({ key }) => key).join("");
  }
}

describe("turns", () => {
  test("one caller has its share and no more, however many it asks for", async () => {
    const line = new Line(4, 2);
    line.take("a", 50);
    line.take("b");
    assert.equal(await line.settled(), "aab");
  });

  test("who asks later waits for a turn of each other caller, not for the rest of a long queue", async () => {
    const line = new Line(2, 2);
    line.take("a", 50);
    line.take("b");
    line.take("c");
    assert.equal(await line.settled(), "aa");
    await line.end();
    await line.end();
    assert.equal(await line.settled(), "bc");
    await line.end();
    assert.equal(await line.settled(), "ca");
  });

  test("what waits is bounded for each caller", async () => {
    const line = new Line(1, 1, 3);
    assert.equal(line.take("a", 10), 6);
    assert.equal(line.take("b", 3), 0);
    for (let each = 0; each < 20; each++) await line.end();
    assert.equal(line.take("a", 4), 0);
  });

  test("one that has its share holds up nobody, and has no more of it when others are forgotten", async () => {
    const line = new Line(3_000, 2);
    line.take("a", 2);
    for (let each = 0; each < 2_000; each++) line.take(`b${each}`);
    await line.settled();
    for (const taken of line.given.filter(({ key }) => key !== "a")) taken.end();
    line.take("c");
    line.take("a");
    await line.settled();
    const keys = line.given.map(({ key }) => key);
    assert.deepEqual([keys.filter((key) => key === "a").length, keys.at(-1)], [2, "c"]);
  });

  test("a turn ends once", async () => {
    const line = new Line(1, 1);
    line.take("a", 3);
    await line.settled();
    const [first] = line.given;
    first!.end();
    first!.end();
    assert.equal(await line.settled(), "aa");
  });
});
