/** Pieces of one turn become one write, whose end and death are as if they had been written one by one. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Writable } from "node:stream";
import { test } from "node:test";
import { gather } from "../../../../proxy/relay/gather.ts";

function recorder(): { sink: Writable; writes: string[] } {
  const writes: string[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => (writes.push(chunk.toString()), done()),
    writev: (pieces, done) => (
      writes.push(pieces.map(({ chunk }: { chunk: Buffer }) => chunk.toString()).join("|")),
      done()
    ),
  });
  return { sink, writes };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("what comes in one turn is one write, in its order, when the turn is over", async () => {
  const [one, other] = [recorder(), recorder()];
  for (const piece of ["a", "b", "c"]) {
    for (const { sink } of [one, other]) {
      gather(sink);
      sink.write(piece);
    }
  }
  assert.deepEqual([one.writes, other.writes], [[], []]);
  await turn();
  assert.deepEqual([one.writes, other.writes], [["a|b|c"], ["a|b|c"]]);
});

test("the next turn begins anew", async () => {
  const { sink, writes } = recorder();
  gather(sink);
  sink.write("a");
  await turn();
  sink.write("b");
  assert.deepEqual(writes, ["a", "b"]);
  gather(sink);
  sink.write("c");
  await turn();
  assert.deepEqual(writes, ["a", "b", "c"]);
});

test("an end in the same turn comes after all that was gathered", async () => {
  const { sink, writes } = recorder();
  gather(sink);
  sink.write("a");
  sink.write("b");
  sink.end();
  await once(sink, "finish");
  assert.deepEqual(writes, ["a|b"]);
  await turn();
});

test("a sink that dies in the same turn disturbs nobody", async () => {
  const [dead, alive] = [recorder(), recorder()];
  for (const { sink } of [dead, alive]) {
    gather(sink);
    sink.write("a");
  }
  dead.sink.destroy();
  await turn();
  assert.deepEqual([dead.writes, alive.writes], [[], ["a"]]);
});
