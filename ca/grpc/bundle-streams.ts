/**
 * Open streams of the trust bundle. Each gets the current bundle at once and then every new version; a slow reader is
 * spared the versions in between, never the newest. A stream ends when the proof that opened it ends: the caller opens
 * another with its current token.
 */
import type { ServerWritableStream } from "@grpc/grpc-js";
import { until } from "../../lib/clock/clock.ts";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Bundle, WatchRequest } from "../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import type { Caller } from "../authn/caller.ts";
import type { Publisher } from "../bundle/publisher.ts";
import { bundleFor } from "../bundle/view.ts";
import { statusOf } from "./status.ts";

export type StreamParts = {
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly watching: (change: 1 | -1) => void;
};
type WatchCall = ServerWritableStream<WatchRequest, Bundle>;

/** A pod needs one, and a second while it replaces the first. */
const mostOfOnePod = 8;

export class BundleStreams {
  readonly #parts: StreamParts;
  readonly #open = new Set<WatchCall>();
  readonly #ofPod = new Map<string, number>();

  constructor(parts: StreamParts) {
    this.#parts = parts;
  }

  open(call: WatchCall, { pod, provenUntil, role }: Caller): void {
    if (call.cancelled) return;
    const count = this.#ofPod.get(pod.podUid) ?? 0;
    if (count >= mostOfOnePod) {
      call.emit("error", statusOf("rate_limited"));
      return;
    }
    this.#ofPod.set(pod.podUid, count + 1);
    this.#open.add(call);
    this.#parts.watching(1);
    const stop = this.#feed(call, role === "controller" ? null : pod.namespace);
    const proof = until(this.#parts.clock, provenUntil, () => call.end());
    const close = (): void => {
      if (!this.#open.delete(call)) return;
      stop();
      proof.cancel();
      this.#parts.watching(-1);
      this.#forget(pod.podUid);
    };
    for (const event of ["cancelled", "close", "error", "finish"]) call.once(event, close);
  }

  endAll(): void {
    for (const call of this.#open) call.end();
  }

  /** One bundle is under way at a time: gRPC would keep sixteen of them for a reader that does not read. */
  #feed(call: WatchCall, project: string | null): () => void {
    const { publisher } = this.#parts;
    let sent: bigint | null = null;
    let sending = false;
    const send = (): void => {
      if (sending || publisher.current.version === sent) return;
      // What is written behind the end would destroy the stream before its status is sent, and its reader would wait for ever.
      if (call.writableEnded || !this.#open.has(call)) return;
      sent = publisher.current.version;
      sending = true;
      call.write(bundleFor(project, publisher.current), () => {
        sending = false;
        send();
      });
    };
    send();
    return publisher.subscribe(send);
  }

  #forget(podUid: string): void {
    const left = (this.#ofPod.get(podUid) ?? 1) - 1;
    if (left === 0) this.#ofPod.delete(podUid);
    else this.#ofPod.set(podUid, left);
  }
}
