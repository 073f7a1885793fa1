/** Whether the API server answers: without it nothing can be issued, so a replica that cannot reach it is not ready. */
import type { Clock, Timer } from "../lib/clock/clock.ts";
import type { KubeClient } from "../lib/kube/client.ts";

const everyMs = 10_000;
/** One answer that is lost is no outage. */
const patienceMs = 35_000;

export class Reach {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  #answeredAt: number;
  #timer: Timer | null = null;
  #stopped = false;

  /** It answered a moment ago, or there would be no store. */
  constructor(client: KubeClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
    this.#answeredAt = clock.monotonic();
  }

  start(): void {
    this.#timer = this.#clock.after(everyMs, () => void this.#ask());
  }

  get isReachable(): boolean {
    return this.#clock.monotonic() - this.#answeredAt < patienceMs;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #ask(): Promise<void> {
    try {
      await this.#client.serverTime();
      this.#answeredAt = this.#clock.monotonic();
    } catch {
      // The next one asks again; how long it has been is what counts.
    }
    if (!this.#stopped) this.start();
  }
}
