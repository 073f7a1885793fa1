/**
 * Notices changes below a folder within half a second: by the kernel's notification where there is one, and by
 * comparing names and times in any case, because notifications get lost with the folder that they were set on.
 */
import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock, Timer } from "../../lib/clock/clock.ts";
import { stampOf } from "./files.ts";

const pollMs = 400;

/** Names and times of the folder, its folders and their files, as one text. The times, also of the folder above, tell of what came and went between two looks. */
async function fingerprint(folder: string): Promise<string> {
  const parts = [await timesOf(dirname(folder)), await timesOf(folder)];
  for (const name of await namesIn(folder)) {
    const inside = join(folder, name);
    parts.push(await timesOf(inside));
    for (const file of await namesIn(inside)) parts.push(await timesOf(join(inside, file)));
  }
  return parts.join("\n");
}

const namesIn = (folder: string): Promise<string[]> =>
  readdir(folder).then(
    (names) => names.toSorted(),
    () => [],
  );

const timesOf = (path: string): Promise<string> =>
  stat(path).then(
    (found) => `${path} ${stampOf(found)}`,
    () => absent,
  );

const absent = "absent";

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
    // The first look counts as a change: what happened just before it would be missed otherwise. The notification is set
    // anew, because the folder may be another one of the same name.
    if (seen !== now) {
      forgetWatcher();
      changed();
    }
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
