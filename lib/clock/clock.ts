/**
 * Time as an argument. Nothing else in the tree reads the clock or sets a timer that a decision depends on, so that
 * tests move time by hand.
 */

export type Timer = { cancel(): void };

export type Clock = {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds on a monotonic clock, for durations. */
  readonly monotonic: () => number;
  /** Calls back once after `delayMs`; a pending timer does not keep the process alive. */
  readonly after: (delayMs: number, callback: () => void) => Timer;
};

/** setTimeout fires at once for delays above 2^31-1 ms; longer waits are cut into pieces. */
const longestDelay = 2_000_000_000;

function after(delayMs: number, callback: () => void): Timer {
  let handle: NodeJS.Timeout;
  const arm = (left: number): void => {
    const delay = Math.min(left, longestDelay);
    handle = setTimeout(() => (left > delay ? arm(left - delay) : callback()), delay);
    handle.unref();
  };
  arm(Math.max(0, delayMs));
  return { cancel: () => clearTimeout(handle) };
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after,
};

/** No timer runs while a machine sleeps, and none hears of a clock that is set: nobody looks less often than this. */
const longestUnseenMs = 30_000;

/** Calls back once the wall clock has come to this moment, whichever way it gets there; never in this very turn. */
export function until(clock: Clock, momentMs: number, callback: () => void): Timer {
  const arm = (): Timer => clock.after(Math.min(momentMs - clock.now(), longestUnseenMs), look);
  const look = (): void => {
    if (clock.now() >= momentMs) return callback();
    timer = arm();
  };
  let timer = arm();
  return { cancel: () => timer.cancel() };
}

/** Keeps a process alive that does nothing but wait, until it is cancelled. */
export function stayAlive(): Timer {
  const handle = setInterval(() => {}, longestDelay);
  return { cancel: () => clearInterval(handle) };
}
