/** Reads into the shared buffer bring the same bytes as reads without it. */
// Sockets that share the buffer they read into see every byte once, in order, and theirs alone; they pause and end as ever.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { shareReads } from "../../../../proxy/relay/shared-reads.ts";

type Pair = { readonly near: Socket; readonly far: Socket };

/** `near` was accepted and not read yet, as the relay gets it. */
async function pair(t: TestContext): Promise<Pair> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const far = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", noDelay: true });
  const [near] = (await once(server, "connection")) as [Socket];
  t.after(() => {
    far.destroy();
    near.destroy();
    server.close();
  });
  return { near, far };
}

const digest = (chunks: readonly Buffer[]): string => createHash("sha256").update(Buffer.concat(chunks)).digest("hex");

/** Keeps the chunks themselves: one that is written over later shows. */
function keep(socket: Socket): Buffer[] {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.resume();
  return chunks;
}

test("this Node has what it takes", async (t) => {
  const { near } = await pair(t);
  assert.equal(shareReads(near), true);
});

test("a socket of which something waits to be taken, or that has no handle, is left as it is", async (t) => {
  const { near, far } = await pair(t);
  near.on("readable", () => {});
  far.write("x");
  await once(near, "readable");
  assert.equal(near.readableLength, 1);
  assert.equal(shareReads(near), false);
  assert.equal(shareReads(new Socket()), false);
});

test("from the middle of its life on, within a read and after a pause", { timeout: 60_000 }, async (t) => {
  const { near, far } = await pair(t);
  const chunks: Buffer[] = [];
  let began: boolean | null = null;
  near.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    if (chunks.length === 3) began = shareReads(near);
    near.pause();
    setImmediate(() => near.resume());
  });
  near.resume();
  const sent = Array.from({ length: 30 }, (_, index) => randomBytes(index % 2 === 0 ? 100 : 100_000));
  for (const piece of sent) {
    far.write(piece);
    await new Promise(setImmediate);
  }
  far.end();
  await once(near, "end");
  assert.equal(began, true);
  assert.equal(digest(chunks), digest(sent));
});

for (const size of [1, 1_000, 16_383, 16_384, 65_536, 300_000])
  test(`pieces of ${size} octets on four sockets at once`, { timeout: 60_000 }, async (t) => {
    const pairs = await Promise.all(Array.from({ length: 4 }, () => pair(t)));
    const received = pairs.map(({ near }) => {
      shareReads(near);
      return keep(near);
    });
    const sent = pairs.map(() => Array.from({ length: 40 }, () => randomBytes(size)));
    for (let piece = 0; piece < 40; piece++) {
      for (const [index, { far }] of pairs.entries()) far.write(sent[index]![piece]!);
      await new Promise(setImmediate);
    }
    for (const { far } of pairs) far.end();
    await Promise.all(pairs.map(({ near }) => once(near, "end")));
    for (const [index, chunks] of received.entries()) assert.equal(digest(chunks), digest(sent[index]!));
  });

test(
  "a hundred sockets with large reads at once: some read into the shared buffer all the same",
  { timeout: 60_000 },
  async (t) => {
    const pairs = await Promise.all(Array.from({ length: 100 }, () => pair(t)));
    const received = pairs.map(({ near }) => {
      shareReads(near);
      return keep(near);
    });
    const sent = pairs.map(() => randomBytes(400_000));
    for (const [index, { far }] of pairs.entries()) far.end(sent[index]!);
    await Promise.all(pairs.map(({ near }) => once(near, "end")));
    for (const [index, chunks] of received.entries()) assert.equal(digest(chunks), digest([sent[index]!]));
  },
);

test("small and large pieces in turn", { timeout: 60_000 }, async (t) => {
  const { near, far } = await pair(t);
  shareReads(near);
  const received = keep(near);
  const sent: Buffer[] = [];
  for (let round = 0; round < 60; round++) {
    const piece = randomBytes(round % 2 === 0 ? 200 : 200_000);
    sent.push(piece);
    far.write(piece);
    if (round % 3 === 0) await new Promise(setImmediate);
  }
  far.end();
  await once(near, "end");
  assert.equal(digest(received), digest(sent));
});

test(
  "a socket that is paused reads nothing until it is resumed, and ends after its last byte",
  { timeout: 20_000 },
  async (t) => {
    const { near, far } = await pair(t);
    shareReads(near);
    const received: Buffer[] = [];
    near.on("data", (chunk: Buffer) => {
      received.push(chunk);
      near.pause();
    });
    near.resume();
    far.write("first");
    await once(near, "data");
    far.end(randomBytes(4_000_000));
    const { bytesRead } = near;
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    assert.equal(near.bytesRead, bytesRead);
    const ended = once(near, "end");
    const more = setInterval(() => near.resume(), 1);
    await ended.finally(() => clearInterval(more));
    assert.equal(Buffer.concat(received).length, 4_000_005);
  },
);

test("the other direction and a reset are as ever", async (t) => {
  const { near, far } = await pair(t);
  shareReads(near);
  near.resume();
  near.write("answer");
  const [answer] = (await once(far, "data")) as [Buffer];
  assert.equal(answer.toString(), "answer");
  const failed = once(near, "error") as Promise<[NodeJS.ErrnoException]>;
  far.resetAndDestroy();
  assert.equal((await failed)[0].code, "ECONNRESET");
});
