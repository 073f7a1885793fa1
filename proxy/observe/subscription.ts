/**
 * A subscription that cannot hurt: what an observer throws would otherwise surface as an uncaught exception and end the
 * data path with it.
 */
import type { Channel } from "./events.ts";

export type Unsubscribe = () => void;

export function subscribe<T>(channel: Channel<T>, receive: (message: T) => void, failed: () => void): Unsubscribe {
  const guarded = (message: T): void => {
    try {
      receive(message);
    } catch {
      failed();
    }
  };
  channel.subscribe(guarded);
  return () => channel.unsubscribe(guarded);
}

export const all =
  (unsubscribes: readonly Unsubscribe[]): Unsubscribe =>
  () => {
    for (const unsubscribe of unsubscribes) unsubscribe();
  };
