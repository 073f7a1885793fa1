/** The demo's screen: what people read has to fit, and what machines read has to be plain. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Report, Unexpected } from "../../../demo/report.ts";
import { Screen, duration, grouped, wrap } from "../../../demo/screen.ts";

function screenOf(options: { colour?: boolean; live?: boolean; width?: number }): {
  screen: Screen;
  out: () => string;
  progress: () => string;
} {
  const written: string[] = [];
  const progressed: string[] = [];
  const { colour = false, live = false, width = 120 } = options;
  const screen = new Screen({
    colour,
    live,
    width,
    write: (text) => written.push(text),
    writeProgress: (text) => progressed.push(text),
  });
  return { screen, out: () => written.join(""), progress: () => progressed.join("") };
}

test("text breaks at spaces, and a word longer than the line stays whole", () => {
  assert.deepEqual(wrap("one two three", 7), ["one two", "three"]);
  assert.deepEqual(wrap("a spiffe://cluster.local/ns/shop b", 6), ["a", "spiffe://cluster.local/ns/shop", "b"]);
});

test("without a terminal there is neither colour nor progress", async () => {
  const { screen, out, progress } = screenOf({});
  const report = new Report(screen);
  await report.check("works", () => ({ right: "evidence", hideTime: true }));
  report.finish("a hint");
  assert.equal(progress(), "");
  assert.ok(!out().includes("\u001B"));
  assert.match(out(), /^ {2}✓ works +evidence\n/);
});

test("progress is one line that is erased before a result is written", async () => {
  const { screen, progress } = screenOf({ live: true });
  const report = new Report(screen);
  await report.check("works", () => ({}));
  assert.equal(progress(), "\r\u001B[2K  · works\r\u001B[2K");
});

test("every line fits a narrow terminal", async () => {
  const { screen, out } = screenOf({ width: 60 });
  const report = new Report(screen);
  await report.check("x", () => ({ left: "word ".repeat(30).trim(), right: "evidence ".repeat(20).trim() }));
  for (const line of out().split("\n")) assert.ok(line.length <= 60, line);
});

test("a check that does not hold is counted, says why, and the last line has the numbers alone", async () => {
  const { screen, out } = screenOf({});
  const report = new Report(screen);
  assert.equal(await report.check("good", () => ({})), true);
  assert.equal(
    await report.check("bad", () => {
      throw new Unexpected("expected a, found b");
    }),
    false,
  );
  report.finish("a hint");
  assert.match(out(), /✗ bad\n {6}expected a, found b\n/);
  assert.equal(out().trimEnd().split("\n").at(-1), "1 passed, 1 failed");
});

test("numbers are written for people", () => {
  assert.deepEqual([grouped(184_312), grouped(12), grouped(1_234_567)], ["184 312", "12", "1 234 567"]);
  assert.deepEqual([1.26, 126.4, 1_260, 12_600].map(duration), ["1.3 ms", "126 ms", "1.3 s", "13 s"]);
});
