/**
 * Everything that the data path tells the outside about itself: the only list of channels and their payloads.
 *
 * The data path publishes on these `diagnostics_channel`s behind `hasSubscribers`; spans, metrics and the access log
 * subscribe, and what nobody listens to costs one property read. Records are published once, when the connection has
 * ended, with every field present from birth (one object shape). Nothing here is a secret.
 */
import { channel } from "node:diagnostics_channel";
import type { Reason } from "../../lib/errors/reasons.ts";

export type Direction = "outbound" | "inbound";

/** Design par. 4: what the far end is. `self` is the own pod reached through a Service. `none` before it was classed. */
export type PeerClass = "internal" | "other-project" | "unknown" | "external" | "node" | "self" | "none";

/** How the bytes travelled: in the tunnel, in clear, inside the pod, or not at all. */
export type Transport = "tunnel" | "clear" | "local" | "none";

/** Who ended the connection. */
export type ClosedBy = "client" | "server" | "proxy" | "unknown";

/** What is known of the TLS session under a tunnel. */
export type TlsFacts = {
  readonly protocolVersion: string;
  readonly cipher: string;
  /** Key-exchange group. Only the client side can read it; the server side knows it from a header of the request. */
  group: string | null;
  readonly ownIdentity: string;
  readonly peerIdentity: string;
  readonly peerPodUid: string | null;
  readonly peerSerial: string;
  readonly peerNotAfter: number;
};

export type TraceContext = {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits: the span of this connection on this side. */
  readonly spanId: string;
  /** The span on the client side, on the server side only. */
  readonly parentSpanId: string | null;
  readonly sampled: boolean;
};

export type ConnectionRecord = {
  readonly direction: Direction;
  /** Milliseconds since the epoch at accept. */
  readonly startedAt: number;
  endedAt: number;
  /** Milliseconds from accept to the moment when bytes could flow; -1 if never. */
  openedAfterMs: number;
  /** `ip:port` texts; the source as seen by the proxy that accepted it (the true one on the tunnel's far side). */
  source: string;
  /** The original destination; empty while unknown. */
  destination: string;
  /** The address dialled, where it differs (a Service's endpoint); else equal to destination. */
  upstream: string;
  /** `project/name` of the Service dialled, or null. */
  service: string | null;
  /** `project/pod` of the far end where the directory knows it, else null. */
  peerWorkload: string | null;
  peerClass: PeerClass;
  /** Project of the far end, or null. */
  peerProject: string | null;
  transport: Transport;
  /** The mode that decided. */
  mode: string;
  tls: TlsFacts | null;
  /** The SPIFFE ID that a dialled peer showed and was refused with. A claim, which may be any text. */
  claimed: string | null;
  trace: TraceContext | null;
  /** Null while and when nothing was refused. */
  reason: Reason | null;
  /** Evidence beside the reason: an errno, a TLS alert, the peer's own reason. For the log, never for the caller. */
  detail: string | null;
  /** Application bytes towards the destination, and back. */
  bytesSent: number;
  bytesReceived: number;
  closedBy: ClosedBy;
  /** True when the far or the near side reset instead of ending. */
  reset: boolean;
};

/** A connection that was refused or could not be opened; `dryRun` when it went on because only the stricter mode refuses. */
export type RefusalEvent = {
  readonly record: ConnectionRecord;
  readonly reason: Reason;
  readonly detail: string | null;
  readonly dryRun: boolean;
};

/**
 * A caller's handshake or session that was refused before any connection was asked for. Where this proxy dials, each
 * connection that waited is a refusal itself.
 */
export type SessionRefusalEvent = {
  readonly source: string;
  readonly destination: string;
  readonly reason: Reason;
  readonly detail: string | null;
  /** The SPIFFE ID that the peer showed, where one could be read; it is a claim, not a fact. */
  readonly claimed: string | null;
};

export type SessionEvent = {
  readonly direction: Direction;
  readonly peer: string;
  readonly address: string;
  /** For `sessionClosed`: why, or null for an ordinary end. */
  readonly reason: Reason | null;
};

/** An exchange of re-authentication; `reason` null where both ends have renewed the session. */
export type ReauthenticationEvent = SessionEvent & { readonly detail: string | null };

/** A channel of `diagnostics_channel` that says what it carries. */
export type Channel<T> = {
  readonly hasSubscribers: boolean;
  publish(message: T): void;
  subscribe(receive: (message: T) => void): void;
  unsubscribe(receive: (message: T) => void): void;
};

const channelOf = <T>(name: string): Channel<T> => channel(name) as Channel<T>;

export const events = {
  /** Bytes can flow. */
  connectionOpened: channelOf<ConnectionRecord>("tencrypt:connection:opened"),
  /** The connection has ended, however; its record is complete. Published for refused ones too. */
  connectionClosed: channelOf<ConnectionRecord>("tencrypt:connection:closed"),
  connectionRefused: channelOf<RefusalEvent>("tencrypt:connection:refused"),
  sessionOpened: channelOf<SessionEvent>("tencrypt:session:opened"),
  sessionClosed: channelOf<SessionEvent>("tencrypt:session:closed"),
  sessionReauthenticated: channelOf<ReauthenticationEvent>("tencrypt:session:reauthenticated"),
  sessionRefused: channelOf<SessionRefusalEvent>("tencrypt:session:refused"),
} as const;
