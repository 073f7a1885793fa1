/** Pieces that wait are put together, in their order, and Node counts them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { gatherSmall, release } from "../../../../proxy/relay/small-pieces.ts";

function gathering(): Duplex {
  const duplex = new Duplex({
    read: () => {},
    write: (_chunk, _encoding, done) => done(),
    readableHighWaterMark: 65_536,
  });
  gatherSmall(duplex);
  return duplex.pause();
}

/** Every piece as it is handed on, to the end. */
async function readOn(duplex: Duplex): Promise<readonly Buffer[]> {
  const pieces: Buffer[] = [];
  duplex.on("data", (piece: Buffer) => pieces.push(piece));
  release(duplex);
  await once(duplex.resume(), "end");
  return pieces;
}

test("a hundred thousand octets that come one by one wait in seven blocks, and arrive as they were sent", async () => {
  const duplex = gathering();
  const sent = Array.from({ length: 100_000 }, (_, index) => String(index % 10));
  const wants = sent.map((octet) => duplex.push(Buffer.from(octet)));
  assert.equal(wants.filter((wantsMore) => !wantsMore).length, 3, "for each block beyond what a stream holds");
  duplex.push(null);
  const pieces = await readOn(duplex);
  assert.equal(pieces.length, 7);
  assert.equal(Buffer.concat(pieces).toString(), sent.join(""));
});

test("a large piece comes behind what waits, and nothing waits where somebody reads", async () => {
  const duplex = gathering();
  duplex.push(Buffer.from("a"));
  duplex.push(Buffer.alloc(5_000, "b"));
  duplex.push(Buffer.from("c"));
  const reading = readOn(duplex);
  for (const piece of ["d", "e"]) duplex.push(Buffer.from(piece));
  duplex.push(null);
  const pieces = (await reading).map((piece) => `${piece.toString().slice(0, 1)}${piece.length}`);
  assert.deepEqual(pieces, ["a1", "b5000", "c1", "d1", "e1"]);
});
