/**
 * Gives back what the start or a burst of connections took, once the proxy has little to do. V8 and the C library keep it
 * for as long as nothing is allocated: an idle proxy held 25 MB of its own instead of 20, one that had carried bulk 45 to 65
 * instead of 25.
 *
 * It takes 50 to 100 ms in one piece, the more the more connections are open (docs/performance.md, Memory). So: only where the
 * event loop has rested for a minute, all but a two hundredth of it, and only where the process has grown since the last
 * time.
 */
import type { Clock } from "../../lib/clock/clock.ts";

export const lookEveryMs = 60_000;
export const quietShare = 0.005;
/** What the next objects take after it is less. */
export const worthwhileBytes = 4_000_000;

export type Memory = {
  /** Share of the time since the last look in which the event loop was busy: 0 to 1. */
  readonly busyShare: () => number;
  /** Bytes, of the whole process. */
  readonly resident: () => number;
  readonly giveBack: () => Promise<void>;
};

export function giveBackWhenIdle(clock: Clock, { busyShare, resident, giveBack }: Memory): void {
  let leftBytes = 0;
  const look = async (): Promise<void> => {
    if (busyShare() <= quietShare && resident() >= leftBytes + worthwhileBytes) {
      await giveBack();
      leftBytes = resident();
    }
    lookAgain();
  };
  const lookAgain = (): unknown => clock.after(lookEveryMs, () => void look());
  lookAgain();
}
