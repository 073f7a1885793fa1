/** When a certificate is renewed, and when a failed call to the CA is tried again. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { renewAfter, retryAfter } from "../../../../lib/enrolment/renewal.ts";

const day = 24 * 3_600_000;
const least = 0;
const most = 1 - Number.EPSILON;

describe("a renewal", () => {
  test("comes at half of what is left, not at the same time for all", () => {
    assert.equal(renewAfter(0, day, 0.5), day / 2);
    assert.equal(renewAfter(0, day, least), day * 0.45);
    assert.ok(Math.abs(renewAfter(0, day, most) - day * 0.55) < 1);
  });

  test("never comes at once, also when the certificate has ended already", () => {
    assert.equal(renewAfter(day, 0, 0.5), 1_000);
  });
});

/** The pauses of a CA that is away from `leftMs` before the end of a certificate to 5 s after it. */
function pauses(leftMs: number, random: number): readonly { readonly at: number; readonly pauseMs: number }[] {
  const all = [];
  for (let at = -leftMs, attempt = 1; at < 5_000; attempt++) {
    const pauseMs = retryAfter(attempt, Math.max(0, -at), random);
    all.push({ at, pauseMs });
    at += pauseMs;
  }
  return all;
}

describe("a try that failed", () => {
  for (const leftMs of [0, 20_000, 300_000, day / 2]) {
    for (const random of [least, 0.5, most]) {
      test(`with ${leftMs} ms left, by chance ${random.toFixed(1)}: none waits past the end of the certificate`, () => {
        const waits = pauses(leftMs, random);
        for (const { at, pauseMs } of waits) {
          assert.ok(pauseMs <= 30_000);
          assert.ok(pauseMs <= Math.max(2_000, -at / 10), `${pauseMs} ms at ${at}`);
        }
        assert.ok(waits[0]!.pauseMs <= 200 && waits[0]!.pauseMs >= 100);
      });
    }
  }

  test("is told apart from its neighbours': between half and all of the step", () => {
    assert.equal(retryAfter(20, day, least), 15_000);
    assert.ok(Math.abs(retryAfter(20, day, most) - 30_000) < 1);
  });
});
