/** A session that is ended early: its streams are reset as such on both sides, and nothing of it stays, whatever its peer does. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { constants } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { lingerMs } from "../../../../proxy/session/session.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import { endHeaders, frame, types } from "../../../topology/http2-frames.ts";
import { closed, stream } from "./pair.ts";
import { peer } from "./peer.ts";
import { rawPeer } from "./raw-peer.ts";

for (const half of ["neither", "ours", "the peer's"] as const) {
  test(`its streams are reset, where ${half} has been ended`, { timeout: 10_000 }, async (t) => {
    const accepted = Promise.withResolvers<ServerHttp2Stream>();
    const here = await peer(t, {
      clock: manualClock(Date.now()),
      onStream: (asked) => {
        asked.respond({ ":status": 200 });
        asked.resume();
        if (half === "the peer's") asked.end();
        accepted.resolve(asked);
      },
    });
    const open = await stream(here);
    open.on("error", () => {});
    open.resume();
    const asked = await accepted.promise;
    if (half === "ours") {
      open.end();
      await once(asked, "end");
    }
    if (half === "the peer's") await once(open, "end");
    const bothClosed = Promise.all([open, asked].map(closed));
    here.pool.sessions[0]!.destroy("peer_silent");
    await bothClosed;
    assert.equal(asked.rstCode, constants.NGHTTP2_CANCEL);
    assert.notEqual(open.rstCode, constants.NGHTTP2_NO_ERROR, "which reads as an end in good order");
  });
}

for (const how of ["at once", "after it was told to take no new streams"] as const) {
  test(
    `a peer that reads no more keeps neither the socket nor a place, ended ${how}`,
    { timeout: 10_000 },
    async (t) => {
      const frozen = Promise.withResolvers<void>();
      const here = await rawPeer(t, (socket) => {
        socket.write(frame(types.settings, 0, 0));
        socket.on("data", (chunk: Buffer) => {
          if (!chunk.includes(Buffer.from([types.headers, endHeaders, 0, 0, 0, 1]))) return;
          socket.write(frame(types.headers, endHeaders, 1, Buffer.from([0x88])));
          socket.pause();
          frozen.resolve();
        });
        t.after(() => socket.destroy());
      });
      const open = await stream(here);
      open.on("error", () => {});
      await frozen.promise;
      const [session] = here.pool.sessions;
      const { socket, http2 } = session!.facts;
      // More than the kernel holds, in what a window of HTTP/2 lets out.
      for (let bytes = 0; bytes < 60_000; bytes += 10_000) open.write(Buffer.alloc(10_000));
      if (how !== "at once") session!.retire();
      session!.destroy("peer_silent");
      if (!http2.destroyed || !socket.destroyed) here.clock.advance(lingerMs);
      if (!socket.destroyed) await once(socket, "close");
      if (here.pool.sessions.length > 0) await once(http2, "close");
      assert.deepEqual(here.pool.sessions, []);
    },
  );
}
