/** How much of the time this process's event loop has something to do. */
import { eventLoopUtilization } from "node:perf_hooks";

/** The share since it was last asked, 0 to 1; every caller has its own. */
export function followBusyShare(): () => number {
  let before = eventLoopUtilization();
  return () => {
    const now = eventLoopUtilization();
    const { utilization } = eventLoopUtilization(now, before);
    before = now;
    return utilization;
  };
}
