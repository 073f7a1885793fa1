/** A clock that stands still until it is moved; timers fire in the order of their time. */
import type { Clock } from "../../lib/clock/clock.ts";

export type ManualClock = Clock & {
  advance(ms: number): void;
  /** The wall clock alone, as while a machine sleeps or when its clock is set: no timer comes nearer. */
  leap(ms: number): void;
  readonly pending: number;
};

export function manualClock(startMs = 1_700_000_000_000): ManualClock {
  let elapsed = 0;
  let leapt = 0;
  const timers = new Set<{ at: number; callback: () => void }>();
  const next = (until: number): { at: number; callback: () => void } | undefined =>
    [...timers].filter((timer) => timer.at <= until).toSorted((one, other) => one.at - other.at)[0];
  return {
    now: () => startMs + leapt + elapsed,
    monotonic: () => elapsed,
    after: (delayMs, callback) => {
      const timer = { at: elapsed + Math.max(0, delayMs), callback };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
    advance: (ms) => {
      const until = elapsed + ms;
      for (let timer = next(until); timer !== undefined; timer = next(until)) {
        timers.delete(timer);
        elapsed = timer.at;
        timer.callback();
      }
      elapsed = until;
    },
    leap: (ms) => void (leapt += ms),
    get pending() {
      return timers.size;
    },
  };
}
