/**
 * At most so many log lines a second, whatever peers do, and nothing uncounted.
 *
 * The first lines of a key go out at once; what follows within the second is counted, and one line with the count ends
 * it. Keys are bounded: beyond the bound events are counted under the coarser key that the caller gives. Pure.
 */
import type { Clock, Timer } from "../clock/clock.ts";

export type Limited<T> = {
  /** Writes or counts an event. `coarse` names what is left of `key` when there are too many keys. */
  take(key: string, coarse: string, event: T): void;
  /** Writes the counts that wait, and stops. */
  stop(): void;
};

/** `count` events; `merged` where they do not share the key, so only the coarse part of `event` holds for all. */
export type WriteLine<T> = (event: T, count: number, merged: boolean) => void;

export type LineLimits = { readonly perKey: number; readonly perSecond: number; readonly keys: number };

export const standardLimits: LineLimits = { perKey: 5, perSecond: 100, keys: 256 };

type Entry<T> = { shown: number; waiting: number; last: T; readonly merged: boolean };

const windowMs = 1_000;

export function limitLines<T>(clock: Clock, write: WriteLine<T>, limits: LineLimits = standardLimits): Limited<T> {
  let entries = new Map<string, Entry<T>>();
  let shown = 0;
  let timer: Timer | null = null;

  const endWindow = (): void => {
    const ended = entries;
    entries = new Map();
    shown = 0;
    timer = null;
    for (const { waiting, last, merged } of ended.values()) if (waiting > 0) write(last, waiting, merged);
  };
  const find = (key: string, coarse: string, event: T): Entry<T> => {
    const known = entries.get(key);
    if (known !== undefined) return known;
    const merged = entries.size >= limits.keys;
    const name = merged ? `merged ${coarse}` : key;
    const entry = entries.get(name) ?? { shown: 0, waiting: 0, last: event, merged };
    entries.set(name, entry);
    return entry;
  };
  return {
    take: (key, coarse, event) => {
      timer ??= clock.after(windowMs, endWindow);
      const entry = find(key, coarse, event);
      entry.last = event;
      if (!entry.merged && entry.shown < limits.perKey && shown < limits.perSecond) {
        entry.shown++;
        shown++;
        write(event, 1, false);
      } else {
        entry.waiting++;
      }
    },
    stop: () => {
      timer?.cancel();
      endWindow();
    },
  };
}
