/**
 * Mutual TLS in front of the directory: one gate that every connection passes before a byte of HTTP/2 is read. A caller is
 * a pod of a project by the verifier that proxies use, and stays one only while the trust bundle says so and until its
 * certificate ends.
 */
import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { createServer } from "node:tls";
import type { SecureContextOptions, Server, TLSSocket } from "node:tls";
import { until } from "../../lib/clock/clock.ts";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import { limitLines } from "../../lib/log/line-limit.ts";
import type { Limited } from "../../lib/log/line-limit.ts";
import type { Log } from "../../lib/log/log.ts";
import { opensslVerdict, peerChain } from "../../lib/tls/peer-chain.ts";
import { verify } from "../../lib/x509/verify.ts";
import type { TrustBundle } from "../../lib/x509/verify.ts";

export type DirectoryCaller = { readonly project: string; readonly podUid: string; readonly spiffeId: string };

export type GateOptions = {
  readonly credentials: () => Credentials | null;
  readonly maxLeafLifetimeMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Takes a connection whose caller is known. */
  readonly take: (socket: TLSSocket) => void;
};

type Open = { readonly caller: DirectoryCaller; readonly socket: TLSSocket; readonly chain: Uint8Array[] };

type RefusedCaller = { readonly reason: Reason; readonly detail: string; readonly source: string | null };

const handshakeMs = 5_000;
/** A proxy needs one, and a second while it replaces the first. */
const mostOfOnePod = 16;
const lines = { perKey: 1, perSecond: 10, keys: 256 };
const keyOf = (socket: Socket): string => `${socket.remoteAddress}:${socket.remotePort}`;

const contextOptions = ({ identity, roots }: Credentials): SecureContextOptions => ({
  cert: identity.chainPem,
  key: identity.keyPem(),
  ca: [...roots],
  minVersion: "TLSv1.3",
  secureOptions: constants.SSL_OP_NO_TICKET,
});

export class Gate {
  readonly #options: GateOptions;
  readonly #open = new Map<string, Open>();
  readonly #ofPod = new Map<string, number>();
  readonly #refused: Limited<RefusedCaller>;
  #server: Server | null = null;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#refused = limitLines(
      options.clock,
      ({ reason, detail, source }, count, merged) =>
        options.log("warn", "directory_caller_refused", {
          reason,
          ...(merged ? { detail: null, source: null } : { detail, source }),
          count,
        }),
      lines,
    );
  }

  /** Writes the lines that wait. */
  stop(): void {
    this.#refused.stop();
  }

  /** Who is at the other end of a connection, by its address and port; null for one that is not open. */
  callerAt(peer: string): DirectoryCaller | null {
    return this.#open.get(peer)?.caller ?? null;
  }

  /** New handshakes use the new certificate; whom the new bundle does not back any more is cut off. */
  renew(credentials: Credentials): void {
    if (this.#server === null) this.#server = this.#listener(credentials);
    else this.#server.setSecureContext(contextOptions(credentials));
    for (const { socket, chain } of this.#open.values())
      if (this.#verdict(socket, chain, credentials.bundle).kind === "refusal") socket.destroy();
  }

  /** Before there is a certificate nobody is let in. */
  connect(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    if (this.#server === null) socket.destroy();
    else this.#server.emit("connection", socket);
  }

  #listener(credentials: Credentials): Server {
    const server = createServer({
      ...contextOptions(credentials),
      requestCert: true,
      // The gate decides, and keeps the evidence: OpenSSL's verdict is one of its inputs.
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
      handshakeTimeout: handshakeMs,
    });
    server.on("secureConnection", (socket: TLSSocket) => this.#admit(socket));
    server.on("tlsClientError", (_error, socket: TLSSocket) => socket.destroy());
    return server;
  }

  #admit(socket: TLSSocket): void {
    socket.on("error", () => socket.destroy());
    const credentials = this.#options.credentials();
    if (credentials === null || socket.alpnProtocol !== "h2") return void socket.destroy();
    const chain = peerChain(socket);
    const verdict = this.#verdict(socket, chain, credentials.bundle);
    if (verdict.kind === "refusal") {
      const { reason, detail } = verdict;
      const source = socket.remoteAddress ?? null;
      this.#refused.take(`${source} ${reason}`, reason, { reason, detail, source });
      return void socket.destroy();
    }
    const { id, pod, uri, notAfter } = verdict;
    const key = keyOf(socket);
    const caller = { project: id.project, podUid: pod?.podUid ?? "", spiffeId: uri };
    if (!this.#count(caller.podUid, 1)) return void socket.destroy();
    this.#open.set(key, { caller, socket, chain });
    const end = until(this.#options.clock, notAfter, () => socket.destroy());
    socket.once("close", () => {
      end.cancel();
      this.#open.delete(key);
      this.#count(caller.podUid, -1);
    });
    this.#options.take(socket);
  }

  /** False: the pod has too many. */
  #count(podUid: string, change: 1 | -1): boolean {
    const count = (this.#ofPod.get(podUid) ?? 0) + change;
    if (count > mostOfOnePod) return false;
    if (count === 0) this.#ofPod.delete(podUid);
    else this.#ofPod.set(podUid, count);
    return true;
  }

  #verdict(socket: TLSSocket, chain: Uint8Array[], bundle: TrustBundle): ReturnType<typeof verify> {
    return verify({
      chain,
      now: this.#options.clock.now(),
      expected: { kind: "projects", projects: new Set(bundle.projects.keys()) },
      bundle,
      openssl: opensslVerdict(socket),
      maxLeafLifetimeMs: this.#options.maxLeafLifetimeMs,
    });
  }
}
