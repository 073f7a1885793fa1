/** For what a controller or kubelet does in its own time: asks again until it is so; the deadline only ends a hang. */
import { setTimeout as pause } from "node:timers/promises";

export async function eventually<T>(attempt: () => Promise<T>, deadlineMs = 30_000): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await pause(50);
    }
  }
}
