/** What a peer sends right behind its SETTINGS is a failure with a reason, never an error out of the dial. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openStream } from "../../../../proxy/session/open-stream.ts";
import { frame, types } from "../../../topology/http2-frames.ts";
import { rawPeer } from "./raw-peer.ts";

const settings = frame(types.settings, 0, 0);

const broken: readonly (readonly [what: string, flight: Buffer])[] = [
  ["HEADERS on stream 0", frame(types.headers, 0x04, 0, Buffer.from([0x88]))],
  ["DATA on a stream that nobody opened", frame(types.data, 0, 2, Buffer.from("x"))],
  ["a WINDOW_UPDATE of 3 octets", frame(types.windowUpdate, 0, 0, Buffer.alloc(3))],
  ["a frame larger than allowed", frame(types.data, 0, 1, Buffer.alloc(20_000))],
];

for (const [what, flight] of broken)
  test(`${what} in one flight with SETTINGS`, { timeout: 10_000 }, async (t) => {
    const { pool, request } = await rawPeer(t, (socket) => socket.write(Buffer.concat([settings, flight])));
    const opened = await Promise.all([openStream(pool, request), openStream(pool, request)]);
    for (const each of opened) {
      assert.equal(each.kind === "failed" ? each.reason : each.kind, "handshake_failed");
      assert.equal(each.kind === "failed" && each.final, false);
    }
    assert.deepEqual(pool.sessions, []);
  });

test("a peer that ends the connection right behind its SETTINGS", { timeout: 10_000 }, async (t) => {
  const { pool, request } = await rawPeer(t, (socket) => void socket.end(settings));
  const opened = await openStream(pool, request);
  assert.ok(opened.kind === "failed");
  // Lost, where the end was seen only after the session had begun.
  assert.match(opened.reason, /^(?:handshake_failed|session_lost)$/);
  assert.equal(opened.final, false);
  assert.deepEqual(pool.sessions, []);
});
