/** In which order sources are served, by what their turns cost. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Turns } from "../../../../lib/limit/turns.ts";
import type { Turn } from "../../../../lib/limit/turns.ts";

/** Asks, and notes in `order` when it is granted. */
const asking =
  (turns: Turns, order: string[]) =>
  (source: string, cost = 1): Turn => {
    const turn = turns.ask(source, cost)!;
    void turn.granted.then(() => order.push(source));
    return turn;
  };

const settled = async (): Promise<void> => {
  for (let round = 0; round < 4; round++) await Promise.resolve();
};

describe("turns", () => {
  test("are given up to the capacity, and on when one ends", async () => {
    const order: string[] = [];
    const ask = asking(new Turns({ capacity: 2 }), order);
    const [first] = [ask("a"), ask("b"), ask("c")];
    await settled();
    assert.deepEqual(order, ["a", "b"]);
    first.end();
    first.end();
    await settled();
    assert.deepEqual(order, ["a", "b", "c"]);
  });

  test("a source that asks for much waits behind one that asks for little", async () => {
    const order: string[] = [];
    const turns = new Turns({ capacity: 1 });
    const ask = asking(turns, order);
    const flood = Array.from({ length: 5 }, () => ask("flood"));
    await settled();
    const honest = ask("honest");
    flood[0]!.end();
    await settled();
    assert.deepEqual(order, ["flood", "honest"]);
    honest.end();
    await settled();
    assert.deepEqual(order, ["flood", "honest", "flood"]);
  });

  test("what is expensive counts for its cost, and gets its turn", async () => {
    const order: string[] = [];
    const turns = new Turns({ capacity: 4 });
    const ask = asking(turns, order);
    const running = [ask("heavy", 4)];
    await settled();
    ask("heavy", 4);
    const small = [ask("small"), ask("small"), ask("small"), ask("small"), ask("small")];
    running[0]!.end();
    await settled();
    assert.deepEqual(order, ["heavy", "small", "small", "small", "small"]);
    for (const turn of small) turn.end();
    await settled();
    assert.equal(order.at(-1), "heavy");
  });

  test("one that does not wait any more is passed over", async () => {
    const order: string[] = [];
    const ask = asking(new Turns({ capacity: 1 }), order);
    const [first, second] = [ask("a"), ask("b"), ask("c")];
    second.end();
    first.end();
    await settled();
    assert.deepEqual(order, ["a", "c"]);
  });
});
