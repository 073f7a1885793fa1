/**
 * Opens a session to a peer's proxy: TCP, TLS 1.3 with both certificates, our verifier, HTTP/2, the peer's SETTINGS.
 * The session is handed out only after all of it; whatever fails is a value with a reason. No byte of an application
 * is sent here, and there is no fall-back of any kind.
 */
import { connect as connectHttp2 } from "node:http2";
import type { ClientHttp2Session } from "node:http2";
import { connect as connectTls } from "node:tls";
import type { TLSSocket } from "node:tls";
import type { Reason } from "../../lib/errors/reasons.ts";
import { formatEndpoint } from "../../lib/net/address.ts";
import type { Endpoint } from "../../lib/net/address.ts";
import { keepAlive } from "../../lib/net/keep-alive.ts";
import type { Expected, Peer } from "../../lib/x509/verify.ts";
import { clientOptions, openWindow } from "./flow.ts";
import { readRefusal } from "./refusal-frame.ts";
import { Session } from "./session.ts";
import { firstTerms } from "./terms.ts";
import type { ClientSession } from "./session.ts";
import { alpn, clientContext } from "./tls-options.ts";
import { verifyPeer } from "./verify-peer.ts";
import type { Judging } from "./verify-peer.ts";

/** From the first SYN to the verified peer's SETTINGS. */
export const dialTimeoutMs = 5_000;

export type DialFailure = {
  readonly kind: "failed";
  readonly reason: Reason;
  readonly detail: string;
  /** The SPIFFE ID that the peer showed, where one could be read. */
  readonly claimed: string | null;
};
export type Dialled = { readonly kind: "session"; readonly session: ClientSession } | DialFailure;

export type DialTarget = { readonly endpoint: Endpoint; readonly expected: Expected };

export type DialContext = Judging & { readonly onClose: (session: ClientSession) => void };

const failed = (reason: Reason, detail: string, claimed: string | null = null): DialFailure => ({
  kind: "failed",
  reason,
  detail,
  claimed,
});

export async function dial(target: DialTarget, context: DialContext): Promise<Dialled> {
  const socket = connectTls({
    host: target.endpoint.ip,
    port: target.endpoint.port,
    secureContext: clientContext(context.credentials.identity, context.credentials.roots),
    ALPNProtocols: [...alpn],
    rejectUnauthorized: true,
    // The name is the verifier's to judge, on DER.
    checkServerIdentity: () => undefined,
  });
  socket.setNoDelay(true);
  socket.setKeepAlive(true, keepAlive.keepAliveInitialDelay);
  const progress = { timedOut: false };
  const timer = context.clock.after(dialTimeoutMs, () => {
    progress.timedOut = true;
    socket.destroy();
  });
  try {
    const result = await handshake(socket, target, context);
    if (result.kind === "failed") socket.destroy();
    return result.kind === "failed" && progress.timedOut
      ? failed("peer_timeout", `no SETTINGS within ${dialTimeoutMs} ms`)
      : result;
  } finally {
    timer.cancel();
  }
}

async function handshake(socket: TLSSocket, target: DialTarget, context: DialContext): Promise<Dialled> {
  const failure = await secured(socket);
  if (failure !== null) return failure;
  if (socket.alpnProtocol !== "h2") return failed("no_alpn", `the peer chose ${socket.alpnProtocol || "nothing"}`);
  const verdict = verifyPeer(socket, target.expected, context);
  if (verdict.kind === "refusal") return failed(verdict.reason, verdict.detail, verdict.claimed);
  return await openHttp2(socket, verdict, { target, context });
}

/** Null once the handshake is complete. */
function secured(socket: TLSSocket): Promise<DialFailure | null> {
  return new Promise((resolve) => {
    let connected = false;
    socket.once("connect", () => (connected = true));
    socket.once("secureConnect", () => resolve(null));
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(handshakeFailure(error, connected)));
    socket.once("close", () =>
      resolve(failed(connected ? "handshake_failed" : "peer_unreachable", "closed by the peer")),
    );
  });
}

function handshakeFailure(error: NodeJS.ErrnoException, connected: boolean): DialFailure {
  const detail = error.code ?? error.message;
  if (!connected) return failed("peer_unreachable", detail);
  if (detail === "CERT_HAS_EXPIRED") return failed("expired", detail);
  if (detail === "CERT_NOT_YET_VALID") return failed("not_yet_valid", detail);
  const untrusted = /CERT|ISSUER|SIGN|CHAIN|TRUST|PATH/.test(detail) && !detail.startsWith("ERR_SSL");
  return failed(untrusted ? "untrusted_chain" : "handshake_failed", detail);
}

type Dialling = { readonly target: DialTarget; readonly context: DialContext };

async function openHttp2(socket: TLSSocket, peer: Peer, { target, context }: Dialling): Promise<Dialled> {
  const http2 = connectHttp2("https://peer", { ...clientOptions, createConnection: () => socket });
  // A frame behind the SETTINGS, or the end of the connection, may have ended it already: nothing is told before its
  // socket has closed.
  const failure = (await settled(http2)) ?? (http2.destroyed || socket.destroyed ? endedBySettings : null);
  if (failure !== null) {
    http2.destroy();
    return failure;
  }
  openWindow(http2);
  const session = new Session(
    {
      direction: "outbound",
      http2,
      socket,
      remote: target.endpoint,
      address: formatEndpoint(target.endpoint),
      clock: context.clock,
    },
    firstTerms(socket, peer, { role: "client", identity: context.credentials.identity }),
    context.onClose,
  );
  return { kind: "session", session };
}

const endedBySettings = failed("handshake_failed", "ended right after its SETTINGS");

/**
 * Null once the peer's SETTINGS are here. A peer that refuses us sends SETTINGS and GOAWAY in one flight: the turn that
 * is waited for after SETTINGS lets the GOAWAY be seen first.
 */
function settled(http2: ClientHttp2Session): Promise<DialFailure | null> {
  return new Promise((resolve) => {
    http2.once("goaway", (code, _last, data) => {
      const { reason, detail } = readRefusal(code, data as Uint8Array | undefined);
      resolve(failed(reason, detail));
    });
    http2.once("remoteSettings", () => setImmediate(resolve, null));
    http2.once("error", (error: NodeJS.ErrnoException) =>
      resolve(failed("handshake_failed", error.code ?? error.message)),
    );
    http2.once("close", () => resolve(failed("handshake_failed", "closed before its SETTINGS")));
  });
}
