/** This process's memory: V8's part of it and the C library's. */
import { executionAsyncResource } from "node:async_hooks";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { followBusyShare } from "../../lib/clock/busy-share.ts";
import type { Memory } from "./give-back.ts";

/** Lies beside this file in the source tree, and beside `main.js` once bundled. */
const addonPath = fileURLToPath(new URL("./trim.node", import.meta.url));
const addon = createRequire(import.meta.url)(addonPath) as { readonly trim: () => void };

/**
 * One of the objects that `process.nextTick` makes for each call, for as long as the process lives. Otherwise the collection below ends the
 * last of them and their shape with it, V8 gives up on computed keys in that place for good, and every tick costs 400 ns
 * instead of 70: 2 of 21 us of a request.
 */
const kept: { tick?: object } = {};
process.nextTick(() => {
  kept.tick = executionAsyncResource();
});

/** Null where Node does not let a program collect: its flag `--expose-gc` is the image's. */
export function ownMemory(): Memory | null {
  const collect = globalThis.gc;
  if (collect === undefined) return null;
  return {
    busyShare: followBusyShare(),
    resident: () => process.memoryUsage.rss(),
    giveBack: async () => {
      // Any other kind leaves the freed pages with V8: 25.2 MB after five of them, 20.8 after one of this.
      await collect({ type: "major", flavor: "last-resort", execution: "async" });
      addon.trim();
    },
  };
}
