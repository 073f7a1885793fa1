/** The peer's certificates exactly as sent, and OpenSSL's opinion of them. */
import type { TLSSocket } from "node:tls";
import type { OpensslVerdict } from "../x509/verify.ts";

/** One more than the verifier accepts, so that a longer chain is seen as too long instead of being cut to fit. */
const longestWalk = 4;

/**
 * DER, leaf first; empty when the peer sent none. `getPeerCertificate(true)` is not used: it completes the chain from
 * our own store.
 */
export function peerChain(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let certificate = socket.getPeerX509Certificate();
  while (certificate !== undefined && chain.length < longestWalk) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

export function opensslVerdict(socket: TLSSocket): OpensslVerdict {
  if (socket.authorized) return { kind: "trusted" };
  const error: unknown = socket.authorizationError;
  return { kind: "refused", code: error instanceof Error ? error.message : String(error) };
}
