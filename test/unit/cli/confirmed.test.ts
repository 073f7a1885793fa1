/** Nothing is removed without a yes, and whoever says anything else is not told of an internal error. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { confirmed } from "../../../cli/confirmed.ts";

const answering = (text: string, isTTY = true): Promise<boolean> => {
  const input = Object.assign(new PassThrough(), { isTTY });
  const answer = confirmed(input, Object.assign(new PassThrough(), { isTTY }), "Sure?");
  input.write(text);
  return answer;
};

test("only yes is a yes", async () => {
  assert.equal(await answering("yes\n"), true);
  for (const text of ["no\n", "\n", "y\n", "YES\n"]) assert.equal(await answering(text), false, JSON.stringify(text));
  assert.equal(await answering("yes\n", false), false);
});

test("Ctrl-C and Ctrl-D are none", { timeout: 5_000 }, async () => {
  for (const text of ["\u0003", "\u0004", "yes\u0003"])
    assert.equal(await answering(text), false, JSON.stringify(text));
});

test("a terminal that goes away is none", { timeout: 5_000 }, async () => {
  const input = Object.assign(new PassThrough(), { isTTY: true });
  const answer = confirmed(input, new PassThrough(), "Sure?");
  input.end();
  assert.equal(await answer, false);
});
