/**
 * The tunnel's listening side: TLS 1.3 with the peer's certificate, our verifier as the one gate, then HTTP/2.
 *
 * No frame of a peer is handled before it is verified: a refused one gets GOAWAY with the reason code and never reaches
 * a session object. Handshakes are bounded in time and number; the oldest half-open one gives way.
 */
import { performServerHandshake } from "node:http2";
import type { Socket } from "node:net";
import { createServer } from "node:tls";
import type { Server, TLSSocket } from "node:tls";
import type { Timer } from "../../lib/clock/clock.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import { formatEndpoint, ipFromSocket } from "../../lib/net/address.ts";
import { keepAlive } from "../../lib/net/keep-alive.ts";
import type { Expected, Peer } from "../../lib/x509/verify.ts";
import type { Credentials, Identity } from "../../lib/enrolment/identity.ts";
import { events } from "../observe/events.ts";
import type { SessionRefusalEvent } from "../observe/events.ts";
import { openWindow, serverOptions } from "./flow.ts";
import { refusalFrames } from "./refusal-frame.ts";
import { Session } from "./session.ts";
import { firstTerms } from "./terms.ts";
import type { ServerSession } from "./session.ts";
import { alpn, contextOptions } from "./tls-options.ts";
import { uncertified, verifyPeer } from "./verify-peer.ts";
import type { Identified } from "./verify-peer.ts";

/** From accept to the verified peer's SETTINGS. */
export const handshakeTimeoutMs = 5_000;

export type AcceptContext = Identified & {
  /** Whose certificates are welcome: the own project's and its mutual peers'. */
  readonly expected: () => Expected;
  readonly maxHalfOpen: number;
  readonly onSession: (session: ServerSession) => void;
  readonly onClose: (session: ServerSession) => void;
};

type HalfOpen = { readonly socket: Socket; readonly timer: Timer };
type Ends = Pick<SessionRefusalEvent, "source" | "destination">;

export class TunnelListener {
  readonly server: Server;
  readonly #context: AcceptContext;
  /** What new handshakes use. */
  #shown: Pick<Credentials, "identity" | "roots">;
  /** By the caller's address and port as the kernel says them, oldest first. */
  readonly #halfOpen = new Map<string, HalfOpen>();
  /** As they were at the accept: a socket that has closed does not say them any more. */
  readonly #ends = new WeakMap<Socket, Ends>();

  constructor({ identity, roots }: Credentials, context: AcceptContext) {
    this.#context = context;
    this.#shown = { identity, roots };
    this.server = createServer({
      ...contextOptions(identity, roots),
      ALPNProtocols: [...alpn],
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: handshakeTimeoutMs,
      noDelay: true,
      ...keepAlive,
    });
    this.server.on("connection", (socket: Socket) => this.#connected(socket));
    this.server.on("secureConnection", (socket: TLSSocket) => this.#secured(socket));
    this.server.on("tlsClientError", (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      this.#refuse(socket, { reason: "handshake_failed", detail: error.code ?? error.message, claimed: null });
      socket.destroy();
    });
  }

  /** New handshakes use the new certificate; sessions that exist keep theirs. */
  renew({ identity, roots }: Credentials): void {
    if (identity === this.#shown.identity && roots === this.#shown.roots) return;
    this.#shown = { identity, roots };
    this.server.setSecureContext(contextOptions(identity, roots));
  }

  #connected(socket: Socket): void {
    this.#ends.set(socket, endsOf(socket));
    if (this.#halfOpen.size >= this.#context.maxHalfOpen) this.#dropOldest();
    const key = endOf(socket);
    const timer = this.#context.clock.after(handshakeTimeoutMs, () => socket.destroy());
    this.#halfOpen.get(key)?.socket.destroy();
    this.#halfOpen.set(key, { socket, timer });
    socket.once("close", () => {
      timer.cancel();
      if (this.#halfOpen.get(key)?.socket === socket) this.#halfOpen.delete(key);
    });
    socket.on("error", () => {});
  }

  /** It counts no more at once: it is closed only later, and others may come until then. */
  #dropOldest(): void {
    const oldest = this.#halfOpen.entries().next().value;
    if (oldest === undefined) return;
    const [key, { socket }] = oldest;
    this.#settled(key);
    socket.destroy();
  }

  /** The handshake is over, well or badly. */
  #settled(key: string): void {
    this.#halfOpen.get(key)?.timer.cancel();
    this.#halfOpen.delete(key);
  }

  #secured(socket: TLSSocket): void {
    socket.on("error", () => {});
    if (socket.alpnProtocol !== "h2") {
      this.#refuse(socket, { reason: "no_alpn", detail: null, claimed: null });
      return void socket.destroy();
    }
    const credentials = this.#context.credentials();
    if (credentials === null) {
      this.#refuse(socket, { ...uncertified, claimed: null });
      return void socket.destroy();
    }
    const verdict = verifyPeer(socket, this.#context.expected(), { ...this.#context, credentials });
    if (verdict.kind === "peer") return this.#open(socket, verdict, credentials.identity);
    this.#refuse(socket, verdict);
    // What the caller has sent already is read and dropped: unread bytes would turn the close into an RST that overtakes the GOAWAY.
    socket.resume();
    socket.end(refusalFrames(verdict.reason), () => socket.destroySoon());
  }

  #open(socket: TLSSocket, peer: Peer, identity: Identity): void {
    const ip = ipFromSocket(socket.remoteAddress);
    if (ip === null) return void socket.destroy();
    const remote = { ip, port: socket.remotePort ?? 0 };
    const end = endOf(socket);
    const http2 = performServerHandshake(socket, serverOptions);
    openWindow(http2);
    const session = new Session(
      {
        direction: "inbound",
        http2,
        socket,
        remote,
        address: formatEndpoint(remote),
        clock: this.#context.clock,
      },
      firstTerms(socket, peer, { role: "server", identity }),
      this.#context.onClose,
    );
    http2.once("remoteSettings", () => {
      this.#settled(end);
      // Renewed while the handshake went on. Only now is it known whether the peer can re-authenticate.
      session.certificateRenewed(identity.generation);
    });
    this.#context.onSession(session);
  }

  #refuse(socket: Socket, refusal: { reason: Reason; detail: string | null; claimed: string | null }): void {
    if (!events.sessionRefused.hasSubscribers) return;
    const { source, destination } = this.#ends.get(accepted(socket)) ?? endsOf(socket);
    const { reason, detail, claimed } = refusal;
    events.sessionRefused.publish({ source, destination, reason, detail, claimed });
  }
}

/** Tells open connections apart, also those of link-local callers, whose addresses carry a zone. */
const endOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;

/** The socket under a TLS socket, for which Node has no public name. Without it a socket that has closed has no ends. */
const accepted = (socket: Socket & { readonly _parent?: Socket }): Socket => socket._parent ?? socket;

const endsOf = ({ remoteAddress, remotePort, localAddress, localPort }: Socket): Ends => ({
  source: endpointText(remoteAddress, remotePort),
  destination: endpointText(localAddress, localPort),
});

function endpointText(address: string | undefined, port = 0): string {
  const ip = ipFromSocket(address);
  return ip === null ? "" : formatEndpoint({ ip, port });
}
