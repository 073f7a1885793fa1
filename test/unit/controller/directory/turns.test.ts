/** Turns at something scarce: few at a time in all and of one caller, and the callers by rotation. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Turns } from "../../../../controller/directory/turns.ts";
import type { EndTurn } from "../../../../controller/directory/turns.ts";

type Taken = { readonly key: string; readonly end: EndTurn };

/** Everything that has a turn, in the order in which it got it. */
class Line {
  readonly given: Taken[] = [];
  readonly #turns: Turns;

  constructor(all: number, ofOne: number, waitingOfOne = 100) {
    this.#turns = new Turns({ all, ofOne, waitingOfOne });
  }

  take(key: string, count = 1): number {
    let refused = 0;
    for (let each = 0; each < count; each++) {
      const turn = this.#turns.take(key);
      if (turn === null) refused++;
      else void turn.then((end) => this.given.push({ key, end }));
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
    assert.equal(await line.settled(), "ab");
    await line.end();
    assert.equal(await line.settled(), "bc");
  });

  test("what waits is bounded for each caller", async () => {
    const line = new Line(1, 1, 3);
    assert.equal(line.take("a", 10), 6);
    assert.equal(line.take("b", 3), 0);
    for (let each = 0; each < 20; each++) await line.end();
    assert.equal(line.take("a", 4), 0);
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
