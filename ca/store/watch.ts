/**
 * Notices changes below a folder within half a second: by the kernel's notification where there is one, and by
 * comparing names and times in any case, because notifications get lost with the folder that they were set on.
 */
import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Timer } from "../../lib/clock/clock.ts";

const pollMs = 400;

/** Names and times of all files of the folder's folders, as one text. */
async function fingerprint(folder: string): Promise<string> {
  const names = await readdir(folder).catch(() => []);
  const parts: string[] = [];
  for (const name of names.toSorted()) {
    const inside = join(folder, name);
    for (const file of ["", ...(await readdir(inside).catch(() => []))].toSorted()) {
      const found = await stat(join(inside, file)).catch(() => null);
      if (found !== null) parts.push(`${name}/${file} ${found.ino} ${found.size} ${found.mtimeMs} ${found.ctimeMs}`);
    }
  }
  return parts.join("\n");
}

/** Calls back after each possible change; returns how to stop. */
export function watchFolder(folder: string, clock: Clock, changed: () => void): () => void {
  let stopped = false;
  let timer: Timer | null = null;
  let watcher: FSWatcher | null = null;
  let seen: string | null = null;

  const listen = (): void => {
    if (watcher !== null) return;
    try {
      watcher = watch(folder, { persistent: false }, changed);
      watcher.on("error", forgetWatcher);
    } catch {
      // The folder is not there yet: polling goes on.
    }
  };
  const forgetWatcher = (): void => {
    watcher?.close();
    watcher = null;
  };
  const poll = async (): Promise<void> => {
    const now = await fingerprint(folder);
    if (stopped) return;
    // The first look counts as a change: what happened just before it would be missed otherwise.
    if (seen !== now) changed();
    if (now === "") forgetWatcher();
    seen = now;
    listen();
    timer = clock.after(pollMs, () => void poll());
  };
  void poll();
  return () => {
    stopped = true;
    timer?.cancel();
    forgetWatcher();
  };
}
