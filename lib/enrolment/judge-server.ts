/**
 * Whether a server of the control plane is who it has to be: by exact SPIFFE ID under the control-plane CA, never by host
 * name. For `checkServerIdentity` of a TLS client.
 */
import type { DetailedPeerCertificate } from "node:tls";
import type { Clock } from "../clock/clock.ts";
import { verify } from "../x509/verify.ts";
import type { TrustBundle } from "../x509/verify.ts";

export type ServerExpectation = {
  /** For people. */
  readonly name: string;
  readonly who: { readonly project: string; readonly serviceAccount: string };
  readonly bundle: TrustBundle;
  readonly maxLeafLifetimeMs: number;
  readonly clock: Clock;
};

/** Node hands over the chain completed from our own store; the verifier tolerates the root as last. */
export function judgeServer(certificate: DetailedPeerCertificate, expected: ServerExpectation): Error | undefined {
  const chain: Uint8Array[] = [];
  for (let current = certificate; current !== undefined && chain.length < 4; current = current.issuerCertificate) {
    chain.push(current.raw);
    if (current.issuerCertificate === current) break;
  }
  const verdict = verify({
    chain,
    now: expected.clock.now(),
    expected: { kind: "control-plane", ...expected.who },
    bundle: expected.bundle,
    openssl: { kind: "trusted" },
    maxLeafLifetimeMs: expected.maxLeafLifetimeMs,
  });
  return verdict.kind === "peer"
    ? undefined
    : new Error(`${expected.name}'s certificate is refused: ${verdict.reason}: ${verdict.detail}`);
}
