/** Token buckets: the rate, the burst, and a bounded number of keys. */
// Token buckets: a burst, then a steady rate, per key, in bounded memory.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RateLimiter } from "../../../../lib/limit/rate-limit.ts";

const taken = (limiter: RateLimiter, key: string, now: number, tries: number): number =>
  Array.from({ length: tries }, () => limiter.take(key, now)).filter(Boolean).length;

void test("a burst of 40 passes, the 41st does not; afterwards 20 a second", () => {
  const limiter = new RateLimiter({ perSecond: 20, burst: 40 });
  assert.equal(taken(limiter, "a", 0, 100), 40);
  assert.equal(taken(limiter, "a", 49, 1), 0);
  assert.equal(taken(limiter, "a", 50, 2), 1);
  assert.equal(taken(limiter, "a", 1_050, 100), 20);
  assert.equal(taken(limiter, "a", 100_000, 100), 40);
});

void test("one key does not spend another's", () => {
  const limiter = new RateLimiter({ perSecond: 1, burst: 1 });
  assert.deepEqual([limiter.take("a", 0), limiter.take("a", 0), limiter.take("b", 0)], [true, false, true]);
});

void test("beyond its bound it forgets the key that was used longest ago, and only that", () => {
  const limiter = new RateLimiter({ perSecond: 0.001, burst: 1 }, 3);
  for (const key of ["a", "b", "c", "a", "d"]) limiter.take(key, 0);
  assert.equal(limiter.size, 3);
  assert.deepEqual(
    ["a", "c", "d"].map((key) => limiter.take(key, 0)),
    [false, false, false],
  );
  assert.equal(limiter.take("b", 0), true);
  for (let index = 0; index < 10_000; index++) limiter.take(`key-${index}`, 0);
  assert.equal(limiter.size, 3);
});
