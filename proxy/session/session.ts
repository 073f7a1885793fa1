/**
 * One verified HTTP/2 session with a peer's proxy, whichever side dialled it, and the rules for its life:
 * - it ends at the earlier notAfter of both certificates, and at once when the peer's issuer or pod leaves the bundle;
 * - it takes no new stream once either certificate was renewed, once told to go away, or while draining;
 * - while streams are open it is pinged every 10 s and ends when an answer takes longer than 5 s.
 * Streams of a session that ends early are reset, never ended.
 */
import { constants } from "node:http2";
import type { ClientHttp2Session, Http2Session, ServerHttp2Session } from "node:http2";
import type { Clock, Timer } from "../../lib/clock/clock.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import type { Endpoint } from "../../lib/net/address.ts";
import type { Peer, TrustBundle } from "../../lib/x509/verify.ts";
import { events } from "../observe/events.ts";
import type { Direction, TlsFacts } from "../observe/events.ts";

export const pingIntervalMs = 10_000;
export const pingTimeoutMs = 5_000;

export type SessionFacts<H extends Http2Session = Http2Session> = {
  readonly direction: Direction;
  readonly http2: H;
  readonly peer: Peer;
  readonly tls: TlsFacts;
  readonly remote: Endpoint;
  /** `remote` as text, for records. */
  readonly address: string;
  /** Generation of our certificate that the session was made with. */
  readonly generation: number;
  /** Our certificate's end, milliseconds since the epoch. */
  readonly ownNotAfter: number;
  readonly clock: Clock;
};

export class Session<H extends Http2Session = Http2Session> {
  readonly facts: SessionFacts<H>;
  /** Open streams of ours or the peer's. */
  streams = 0;
  /** Streams that turned out to be bulk transfers. */
  bulkStreams = 0;
  #retired = false;
  #endReason: Reason | null = null;
  #expiry: Timer;
  #ping: Timer | null = null;

  constructor(facts: SessionFacts<H>, onClose: (session: Session<H>) => void) {
    this.facts = facts;
    const { http2, clock } = facts;
    const end = Math.min(facts.ownNotAfter, facts.peer.notAfter);
    this.#expiry = clock.after(end - clock.now(), () => this.destroy("certificate_ended"));
    http2.on("goaway", () => this.retire());
    // The cause reaches every stream by itself; without a listener it would end the process.
    http2.on("error", () => {});
    http2.once("close", () => this.#closed(onClose));
    if (events.sessionOpened.hasSubscribers) events.sessionOpened.publish(this.#event(null));
  }

  /** Why it was ended early; null while it lives and after an ordinary end. */
  get endReason(): Reason | null {
    return this.#endReason;
  }

  /** Whether a new stream may be opened on it. */
  get usable(): boolean {
    return !this.#retired && !this.facts.http2.closed && !this.facts.http2.destroyed;
  }

  /** No new streams; ends by itself when the open ones have ended. */
  retire(): void {
    this.#retired = true;
    if (!this.facts.http2.closed && !this.facts.http2.destroyed) this.facts.http2.close();
  }

  /** Ends it now; every stream of it is reset. */
  destroy(reason: Reason | null): void {
    if (this.facts.http2.destroyed) return;
    this.#retired = true;
    this.#endReason = reason;
    this.facts.http2.destroy(undefined, constants.NGHTTP2_CANCEL);
  }

  /** A new bundle: the session goes on only if it still lists issuer and namespace, and does not deny the pod. */
  judge(bundle: TrustBundle): void {
    const { issuer, pod, id } = this.facts.peer;
    const project = bundle.projects.get(id.project);
    const authorities = project?.authorities ?? [];
    const listed = issuer !== null && authorities.some((authority) => Buffer.compare(authority.der, issuer) === 0);
    const same = pod !== null && pod.namespaceUid === project?.uid && !bundle.denied.has(pod.podUid);
    if (!listed || !same) this.destroy("issuer_removed");
  }

  streamOpened(): void {
    this.streams++;
    if (this.#ping === null) this.#armPing();
  }

  streamClosed(): void {
    this.streams--;
  }

  #armPing(): void {
    this.#ping = this.facts.clock.after(pingIntervalMs, () => this.#sendPing());
  }

  #sendPing(): void {
    this.#ping = null;
    if (this.streams === 0 || this.facts.http2.destroyed) return;
    const silence = this.facts.clock.after(pingTimeoutMs, () => this.destroy("peer_silent"));
    const sent = this.facts.http2.ping(() => {
      silence.cancel();
      if (this.#ping === null && !this.facts.http2.destroyed) this.#armPing();
    });
    // More PINGs than Node allows at once are under way: the session is as good as silent, the timer decides.
    if (!sent && this.facts.http2.destroyed) silence.cancel();
  }

  #closed(onClose: (session: Session<H>) => void): void {
    this.#expiry.cancel();
    this.#ping?.cancel();
    if (events.sessionClosed.hasSubscribers) events.sessionClosed.publish(this.#event(this.#endReason));
    onClose(this);
  }

  #event(reason: Reason | null): { direction: Direction; peer: string; address: string; reason: Reason | null } {
    return { direction: this.facts.direction, peer: this.facts.peer.uri, address: this.facts.address, reason };
  }
}

/** A session that we dialled; only such a one can open streams. */
export type ClientSession = Session<ClientHttp2Session>;
export type ServerSession = Session<ServerHttp2Session>;
