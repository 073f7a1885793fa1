/** Whose connection gives way when there are too many, or too much is unanswered. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Connections } from "../../../../controller/webhook/connections.ts";
import type { Connection } from "../../../../controller/webhook/connections.ts";

type Rig = {
  readonly all: Connections;
  readonly dropped: string[];
  readonly open: (source: string, name: string) => Connection;
};

function rig(each: number, all: number, [eachBytes, allBytes] = [1_000, 1_000]): Rig {
  const dropped: string[] = [];
  const connections = new Connections({ connections: each, bytes: eachBytes }, { connections: all, bytes: allBytes });
  return {
    all: connections,
    dropped,
    open: (source, name) => connections.open(source, { destroy: () => dropped.push(name) }),
  };
}

describe("connections", () => {
  test("a source beyond its bound loses its own oldest, however old others are", () => {
    const { open, dropped, all } = rig(2, 10);
    open("honest", "h1");
    for (const name of ["a1", "a2", "a3", "a4"]) open("a", name);
    assert.deepEqual(dropped, ["a1", "a2"]);
    assert.equal(all.size, 3);
  });

  test("one that nobody waits at goes first, and what is judged never", () => {
    const { open, dropped } = rig(2, 10);
    const first = open("a", "a1");
    open("a", "a2").state = "idle";
    open("a", "a3").state = "judged";
    assert.deepEqual(dropped, ["a2"]);
    first.state = "judged";
    open("a", "a4");
    assert.deepEqual(dropped, ["a2", "a4"]);
  });

  test("where all are too many, the source with most gives way", () => {
    const { open, dropped } = rig(3, 4);
    open("honest", "h1");
    for (const name of ["a1", "a2", "a3"]) open("a", name);
    open("honest", "h2");
    assert.deepEqual(dropped, ["a1"]);
  });

  test("bytes are counted until the answer, by source and in all", () => {
    const { open, dropped, all } = rig(10, 10, [100, 150]);
    const [one, two, honest] = [open("a", "a1"), open("a", "a2"), open("honest", "h1")];
    all.read(one, 60);
    all.answered(one);
    all.read(two, 90);
    all.read(honest, 50);
    assert.deepEqual(dropped, []);
    all.read(one, 20);
    assert.deepEqual(dropped, ["a1"]);
    all.read(honest, 10);
    assert.deepEqual(dropped, ["a1"]);
    all.read(open("b", "b1"), 1);
    assert.deepEqual(dropped, ["a1", "a2"]);
  });

  test("one that was closed gives back what it held", () => {
    const { open, dropped, all } = rig(2, 2, [100, 100]);
    for (let index = 0; index < 10; index++) {
      const connection = open("a", `a${index}`);
      all.read(connection, 100);
      all.closed(connection);
      all.closed(connection);
    }
    assert.deepEqual([dropped, all.size], [[], 0]);
  });
});
