/** Looks once a day whether the control-plane CA is to be replaced; it lives for years, and is replaced at half of that. */
import type { Clock, Timer } from "../lib/clock/clock.ts";
import type { Store } from "./store/store.ts";

const everyMs = 86_400_000;

/** Returns how to stop. */
export function keepControlPlaneAlive(store: Pick<Store, "renewControlPlane">, clock: Clock): () => void {
  let stopped = false;
  let timer: Timer;
  const look = async (): Promise<void> => {
    await store.renewControlPlane();
    if (!stopped) timer = clock.after(everyMs, () => void look());
  };
  timer = clock.after(everyMs, () => void look());
  return () => {
    stopped = true;
    timer.cancel();
  };
}
