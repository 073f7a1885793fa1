/** Whole lines, in their order, in bounded memory, whatever the stream does. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { createLineWriter } from "../../../../lib/log/line-writer.ts";
import type { LineStream } from "../../../../lib/log/line-writer.ts";
import { manualClock } from "../../../clock/manual-clock.ts";

type Write = { text: string; done: (error?: Error | null) => void };

/** A stream that keeps each write until the test ends it. */
function heldStream(): { stream: LineStream; writes: Write[] } {
  const writes: Write[] = [];
  const write = (text: string, done: Write["done"]): boolean => writes.push({ text, done }) > 0;
  return { writes, stream: { write, on: () => undefined } as unknown as LineStream };
}

const noGap = (): string => "";
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("lines of one turn go out in one write, and the next write waits for it", async () => {
  const { stream, writes } = heldStream();
  const writer = createLineWriter(stream, manualClock(), noGap);
  writer.write("a\n");
  writer.write("b\n");
  assert.equal(writes.length, 0);
  await turn();
  assert.deepEqual(
    writes.map((write) => write.text),
    ["a\nb\n"],
  );
  writer.write("c\n");
  await turn();
  assert.equal(writes.length, 1);
  writes[0]!.done();
  await turn();
  assert.deepEqual(
    writes.map((write) => write.text),
    ["a\nb\n", "c\n"],
  );
  assert.equal(writer.dropped(), 0);
});

test("8 KiB are written at once", () => {
  const { stream, writes } = heldStream();
  createLineWriter(stream, manualClock(), noGap).write(`${"x".repeat(8_191)}\n`);
  assert.equal(writes.length, 1);
});

test("a blocked stream costs a bounded buffer: the rest is dropped and counted", async () => {
  const { stream, writes } = heldStream();
  const writer = createLineWriter(stream, manualClock(), noGap);
  const line = `${"x".repeat(1_023)}\n`;
  for (let at = 0; at < 3_000; at++) writer.write(line);
  assert.equal(writes.length, 1);
  const written = writes[0]!.text.length / 1_024;
  assert.equal(writer.dropped(), 3_000 - written - 1_024);
  writes[0]!.done();
  await turn();
  assert.equal(writes[1]!.text.length, 1_024 * 1_024);
});

test("a line stands for those that were dropped, after what was held, and for each only once", async () => {
  const { stream, writes } = heldStream();
  const writer = createLineWriter(stream, manualClock(), (count) => `${count} dropped\n`);
  const line = `${"x".repeat(1_023)}\n`;
  for (let at = 0; at < 8 + 1_024 + 3; at++) writer.write(line);
  writes[0]!.done();
  await turn();
  assert.equal(writes[1]!.text.slice(-12), "x\n3 dropped\n");
  writer.write("a\n");
  writes[1]!.done(Object.assign(new Error("no space"), { code: "ENOSPC" }));
  await turn();
  assert.equal(writes[2]!.text, `\na\n${3 + 1_024} dropped\n`);
  writer.write("b\n");
  writes[2]!.done();
  await turn();
  assert.equal(writes[3]!.text, "b\n");
});

test("a full disk loses the lines of its write, and the next one starts on a fresh line", async () => {
  const { stream, writes } = heldStream();
  const writer = createLineWriter(stream, manualClock(), noGap);
  writer.write("lost 1\n");
  writer.write("lost 2\n");
  await turn();
  writes[0]!.done(Object.assign(new Error("no space"), { code: "ENOSPC" }));
  assert.equal(writer.dropped(), 2);
  writer.write("kept\n");
  await turn();
  assert.equal(writes[1]!.text, "\nkept\n");
});

test("a stream that throws is a failed write", async () => {
  const stream = { write: () => assert.fail("gone"), on: () => undefined } as unknown as LineStream;
  const writer = createLineWriter(stream, manualClock(), noGap);
  writer.write("a\n");
  await turn();
  assert.equal(writer.dropped(), 1);
});

test("flush waits for the stream, but not longer than its deadline", async () => {
  const { stream, writes } = heldStream();
  const clock = manualClock();
  const writer = createLineWriter(stream, clock, noGap);
  await writer.flush(500);
  writer.write("a\n");
  const flushed = writer.flush(500);
  writer.write("b\n");
  writes[0]!.done();
  await turn();
  writes[1]!.done();
  await flushed;
  assert.equal(clock.pending, 0);
  writer.write("c\n");
  const late = writer.flush(500);
  clock.advance(500);
  await late;
});

/** The shell and what it started; all may have ended already. */
function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

const child = `
  import { createLineWriter } from ${JSON.stringify(new URL("../../../../lib/log/line-writer.ts", import.meta.url).href)};
  import { systemClock } from ${JSON.stringify(new URL("../../../../lib/clock/clock.ts", import.meta.url).href)};
  const writer = createLineWriter(process.stdout, systemClock, () => "");
  for (let at = 0; at < 4_000; at++) writer.write("x".repeat(1_000) + "\\n");
  setImmediate(() => setImmediate(async () => {
    await writer.flush(100);
    process.stderr.write(String(writer.dropped()));
    process.exit(0);
  }));
`;

for (const [what, stdout, dropsAll] of [
  ["a pipe that nobody reads", "| sleep 5", false],
  ["a full disk", "> /dev/full", true],
  ["a closed pipe", "| true", true],
] as const) {
  test(`the process lives on, counts and can exit with stdout on ${what}`, async () => {
    const command = `"$0" --input-type=module -e "$1" ${stdout}`;
    const shell = spawn("sh", ["-c", command, process.execPath, child], {
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
    });
    try {
      const [told] = (await once(shell.stderr, "data", { signal: AbortSignal.timeout(20_000) })) as [Buffer];
      const dropped = Number(told.toString());
      assert.ok(dropsAll ? dropped > 1_000 : dropped > 2_000 && dropped < 4_000, `${dropped} lines dropped`);
    } finally {
      endGroup(shell.pid!);
    }
  });
}
