/** What of a review's body is kept while it comes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { largestBody, readBody } from "../../../../controller/webhook/review.ts";

async function* pieces(count: number, size: number): AsyncGenerator<Buffer> {
  for (let index = 0; index < count; index++) yield Buffer.alloc(size);
}

test("a body is bounded by its bytes, and by its pieces where they are small", async () => {
  let held = 0;
  const read = (count: number, size: number): Promise<Buffer | null> =>
    readBody(pieces(count, size), (bytes) => (held += bytes));
  assert.equal((await read(100, 16_384))?.length, 1_638_400);
  assert.ok(held > 1_638_400);
  assert.equal(await read(300, 16_384), null);
  assert.equal(await read(100_000, 1), null);
  assert.ok(held < 3 * largestBody);
});
