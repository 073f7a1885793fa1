/**
 * Mutual TLS in front of the directory: one gate that every connection passes before a byte of HTTP/2 is read. A caller is
 * a pod of a project by the verifier that proxies use, and stays one only while the trust bundle says so and until its
 * certificate ends.
 */
import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { createServer } from "node:tls";
import type { SecureContextOptions, Server, TLSSocket } from "node:tls";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
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

const handshakeMs = 5_000;
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
  #server: Server | null = null;

  constructor(options: GateOptions) {
    this.#options = options;
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
      this.#options.log("warn", "directory_caller_refused", { reason, detail, source: socket.remoteAddress ?? null });
      return void socket.destroy();
    }
    const { id, pod, uri, notAfter } = verdict;
    const key = keyOf(socket);
    const caller = { project: id.project, podUid: pod?.podUid ?? "", spiffeId: uri };
    this.#open.set(key, { caller, socket, chain });
    const end = this.#options.clock.after(notAfter - this.#options.clock.now(), () => socket.destroy());
    socket.once("close", () => {
      end.cancel();
      this.#open.delete(key);
    });
    this.#options.take(socket);
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
