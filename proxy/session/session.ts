/**
 * One verified HTTP/2 session with a peer's proxy, whichever side dialled it, and the rules for its life:
 * - it ends at the earlier notAfter of both certificates, and at once when the peer's issuer or pod leaves the bundle;
 *   re-authentication in band (reauthenticate.ts) puts new certificates in the place of the old ones;
 * - with a peer that does not know that, it takes no new stream once our certificate was renewed, and its streams end
 *   one after the other over the last tenth of its life;
 * - it takes no new stream once told to go away, or while draining, and none for 30 s after one that was not processed or answered;
 * - the side that dialled gives it up when it was not used for 5 minutes;
 * - while streams are open it is pinged every 10 s and ends when an answer takes longer than 5 s.
 * Streams of a session that ends early are reset, never ended.
 */
import type { ClientHttp2Session, Http2Session, Http2Stream, ServerHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { until } from "../../lib/clock/clock.ts";
import type { Clock, Timer } from "../../lib/clock/clock.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import type { Endpoint } from "../../lib/net/address.ts";
import { cancelled } from "../../lib/net/cancelled.ts";
import type { Fault } from "../../lib/x509/fault.ts";
import type { Peer, TrustBundle } from "../../lib/x509/verify.ts";
import { events } from "../observe/events.ts";
import type { Direction, TlsFacts } from "../observe/events.ts";
import { bulkWindow, isAway, knowsReauthentication, streamWindow } from "./flow.ts";
import type { Role } from "./proof.ts";

export const pingIntervalMs = 10_000;
export const pingTimeoutMs = 5_000;
/** A session that we dialled and nobody uses costs both ends memory: after this long it is given up. */
export const unusedMs = 5 * 60_000;
/** What makes a peer refuse a stream, such as a moment without CPU, is over by then. */
export const avoidedMs = 30_000;

export type SessionFacts<H extends Http2Session = Http2Session> = {
  readonly direction: Direction;
  readonly http2: H;
  /** Under it. */
  readonly socket: TLSSocket;
  readonly remote: Endpoint;
  /** `remote` as text, for records. */
  readonly address: string;
  readonly clock: Clock;
};

/** The certificates that the two ends have shown, in the handshake or last in band. Replaced as a whole. */
export type Terms = {
  readonly peer: Peer;
  readonly tls: TlsFacts;
  /** Of our certificate. */
  readonly generation: number;
  /** Our certificate's end, milliseconds since the epoch. */
  readonly ownNotAfter: number;
  /** SHA-256 of both leaves. */
  readonly leaves: Readonly<Record<Role, Uint8Array>>;
};

/** Part of a session's life over which its streams end one by one, where the peer cannot re-authenticate. */
const lastPart = 0.1;

/** What is left to be sent when a session is ended is resets: a peer that reads has them within a moment. */
export const lingerMs = 1_000;

export class Session<H extends Http2Session = Http2Session> {
  readonly facts: SessionFacts<H>;
  /** Open streams of ours or the peer's. */
  streams = 0;
  #bulkStreams = 0;
  #isWide = false;
  /** What a stream may have unread: at most, as the peer was told, and whether it has not answered yet. */
  #mostWindow = Number.POSITIVE_INFINITY;
  #toldWindow = streamWindow;
  #telling = false;
  /** Number of the last exchange of re-authentication that was begun. */
  exchanges = 0;
  exchangeUnderWay = false;
  #terms: Terms;
  #retired = false;
  /** By the monotonic clock. */
  #avoidedUntil = 0;
  #endReason: Reason | null = null;
  readonly #carried = new Set<Http2Stream>();
  /** Streams that were ended before the session was. */
  readonly #cut = new WeakSet<Duplex>();
  #expiry: Timer | null = null;
  #lastPart: Timer | null = null;
  #ping: Timer | null = null;
  #unused: Timer | null = null;
  #linger: Timer | null = null;

  constructor(facts: SessionFacts<H>, terms: Terms, onClose: (session: Session<H>) => void) {
    this.facts = facts;
    this.#terms = terms;
    const { http2 } = facts;
    this.#armEnd();
    // What the peer knows is in its SETTINGS: the side that dialled has waited for them, the other one is told here.
    http2.once("remoteSettings", () => this.#armEnd());
    http2.on("goaway", () => this.retire());
    // The cause reaches every stream by itself; without a listener it would end the process.
    http2.on("error", () => {});
    http2.once("close", () => this.#closed(onClose));
    // Also where no stream is ever opened on it: another session had room by the time it was there.
    if (facts.direction === "outbound") this.#armPing();
    if (events.sessionOpened.hasSubscribers) events.sessionOpened.publish(this.#event(null));
  }

  /** Why it was ended early; null while it lives and after an ordinary end. */
  get endReason(): Reason | null {
    return this.#endReason;
  }

  get terms(): Terms {
    return this.#terms;
  }

  /** When it ends unless it is re-authenticated, milliseconds since the epoch. */
  get end(): number {
    return Math.min(this.#terms.ownNotAfter, this.#terms.peer.notAfter);
  }

  /** Its end has come: it is ended at the next look at the clock. */
  get isOver(): boolean {
    return this.facts.clock.now() >= this.end;
  }

  /** Whether the peer has said that it knows re-authentication in band. */
  get reauthenticates(): boolean {
    return knowsReauthentication(this.facts.http2);
  }

  /** Both ends have shown a certificate: these stand from now on. */
  renewed(terms: Terms): void {
    this.#terms = terms;
    this.#armEnd();
  }

  /** An exchange is over; null: well. */
  exchanged(failure: Fault | null): void {
    if (!events.sessionReauthenticated.hasSubscribers) return;
    const { reason, detail } = failure ?? { reason: null, detail: null };
    events.sessionReauthenticated.publish({ ...this.#event(reason), detail });
  }

  /** Our certificate was renewed. */
  certificateRenewed(generation: number): void {
    if (this.#terms.generation !== generation && !this.reauthenticates) this.retire();
  }

  /** Whether a request of ours can be sent on it. */
  get isOpen(): boolean {
    return !this.facts.http2.closed && !this.facts.http2.destroyed && !this.isOver;
  }

  /** Whether a new stream may be opened on it. */
  get usable(): boolean {
    return !this.#retired && !this.#isAvoided && this.isOpen;
  }

  /** No new streams; ends by itself when the open ones have ended. */
  retire(): void {
    this.#retired = true;
    if (!this.facts.http2.closed && !this.facts.http2.destroyed) this.facts.http2.close();
  }

  /** The peer did not process, or answer, a stream: others are opened elsewhere for a while. What is open on it goes on. */
  avoid(): void {
    this.#avoidedUntil = this.facts.clock.monotonic() + avoidedMs;
    if (this.streams === 0) this.retire();
  }

  get #isAvoided(): boolean {
    return this.facts.clock.monotonic() < this.#avoidedUntil;
  }

  /** Ends it now; every stream of it is reset. */
  destroy(reason: Reason | null): void {
    if (this.facts.http2.destroyed) return;
    this.#retired = true;
    this.#endReason = reason;
    const { http2, socket, clock } = this.facts;
    // Those that go with their session are reset with NO_ERROR, which reads as an end in good order.
    for (const stream of this.#carried) stream.destroy(cancelled);
    http2.destroy();
    // Node waits until all is sent, and where the session was going away before, for the peer's end too: one that is frozen
    // would keep the socket, and a place in the pool.
    this.#linger = clock.after(lingerMs, () => socket.destroy());
  }

  /** A new bundle: the session goes on only if it still lists issuer and namespace, and does not deny the pod. */
  judge(bundle: TrustBundle): void {
    const { issuer, pod, id } = this.#terms.peer;
    const project = bundle.projects.get(id.project);
    const authorities = project?.authorities ?? [];
    const listed = issuer !== null && authorities.some((authority) => Buffer.compare(authority.der, issuer) === 0);
    const same = pod !== null && pod.namespaceUid === project?.uid && !bundle.denied.has(pod.podUid);
    if (!listed || !same) this.destroy("issuer_removed");
  }

  streamOpened(): void {
    this.streams++;
    if (this.#ping === null) this.#armPing();
    if (this.#unused === null) return;
    this.#unused.cancel();
    this.#unused = null;
  }

  streamClosed(): void {
    this.streams--;
    if (this.streams === 0 && this.#isAvoided) this.retire();
  }

  /** Streams that turned out to be bulk transfers. */
  get bulkStreams(): number {
    return this.#bulkStreams;
  }

  /** A stream of it turned out to be a bulk transfer. */
  bulkBegun(): void {
    this.#bulkStreams++;
    if (this.#isWide || this.facts.http2.destroyed) return;
    this.#isWide = isAway(this.facts.socket);
    this.#tellWindow();
  }

  bulkEnded(): void {
    this.#bulkStreams--;
  }

  /** No stream of it may have more unread from now on; one that has takes nothing new. */
  limitWindow(most: number): void {
    this.#mostWindow = most;
    this.#tellWindow();
  }

  /** One change at a time: a peer that answers none must not have them pile up, for which Node ends a session. */
  #tellWindow(): void {
    const { http2 } = this.facts;
    const window = Math.min(this.#mostWindow, this.#isWide ? bulkWindow : streamWindow);
    if (http2.destroyed || this.#telling || window === this.#toldWindow) return;
    this.#toldWindow = window;
    this.#telling = true;
    http2.settings({ initialWindowSize: window }, () => {
      this.#telling = false;
      this.#tellWindow();
    });
  }

  /** Takes the stream for which a place was taken with `streamOpened`; the place is given back when it closes. */
  carry(stream: Http2Stream): void {
    this.#carried.add(stream);
    stream.on("close", () => {
      this.#carried.delete(stream);
      this.streamClosed();
    });
  }

  /** Why this stream of it was ended early; null if it was not. */
  whyCut(stream: Duplex): Reason | null {
    return this.#endReason ?? (this.#cut.has(stream) ? "certificate_ended" : null);
  }

  #armEnd(): void {
    const { clock, http2 } = this.facts;
    this.#expiry?.cancel();
    this.#lastPart?.cancel();
    if (http2.destroyed) return;
    const { end } = this;
    this.#expiry = until(clock, end, () => this.destroy("certificate_ended"));
    if (this.reauthenticates) return;
    this.#lastPart = until(clock, end - (end - clock.now()) * lastPart, () => this.#endStreams());
  }

  /** All at once they would all be dialled again at once. */
  #endStreams(): void {
    this.retire();
    const { clock } = this.facts;
    const streams = [...this.#carried];
    const pause = (this.end - clock.now()) / (streams.length + 1);
    const next = (): void => {
      const stream = streams.shift();
      if (stream === undefined) return;
      this.#cut.add(stream);
      stream.destroy(cancelled);
      this.#lastPart = until(clock, clock.now() + pause, next);
    };
    next();
  }

  #armPing(): void {
    this.#ping = this.facts.clock.after(pingIntervalMs, () => this.#sendPing());
  }

  #sendPing(): void {
    this.#ping = null;
    if (this.facts.http2.destroyed) return;
    if (this.streams === 0) return this.#rest();
    const silence = this.facts.clock.after(pingTimeoutMs, () => this.destroy("peer_silent"));
    const sent = this.facts.http2.ping(() => {
      silence.cancel();
      if (this.#ping === null && !this.facts.http2.destroyed) this.#armPing();
    });
    // More PINGs than Node allows at once are under way: the session is as good as silent, the timer decides.
    if (!sent && this.facts.http2.destroyed) silence.cancel();
  }

  #rest(): void {
    if (this.facts.direction === "outbound") this.#unused = this.facts.clock.after(unusedMs, () => this.retire());
  }

  #closed(onClose: (session: Session<H>) => void): void {
    this.#expiry?.cancel();
    this.#lastPart?.cancel();
    this.#ping?.cancel();
    this.#unused?.cancel();
    this.#linger?.cancel();
    if (events.sessionClosed.hasSubscribers) events.sessionClosed.publish(this.#event(this.#endReason));
    onClose(this);
  }

  #event(reason: Reason | null): { direction: Direction; peer: string; address: string; reason: Reason | null } {
    return { direction: this.facts.direction, peer: this.#terms.peer.uri, address: this.facts.address, reason };
  }
}

/** A session that we dialled; only such a one can open streams. */
export type ClientSession = Session<ClientHttp2Session>;
export type ServerSession = Session<ServerHttp2Session>;
