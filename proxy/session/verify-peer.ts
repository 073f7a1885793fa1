/**
 * What both sides of a session judge the other end by: our verifier, on the certificates as they were sent, with the bundle
 * of now.
 */
import type { TLSSocket } from "node:tls";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import { opensslVerdict, peerChain } from "../../lib/tls/peer-chain.ts";
import type { Fault } from "../../lib/x509/fault.ts";
import { verify } from "../../lib/x509/verify.ts";
import type { Expected, Peer, Refusal } from "../../lib/x509/verify.ts";

/** What this proxy shows its peers, and judges them with. */
export type Identified = {
  /** Null before the first certificate of ours and after the end of the last: then nobody is dialled or let in. */
  readonly credentials: () => Credentials | null;
  readonly maxLeafLifetimeMs: number;
  readonly clock: Clock;
};

/** Beside that, for sessions that others dial: whose certificates are welcome now, the own project's and its mutual peers'. */
export type Welcome = Identified & { readonly projects: () => ReadonlySet<string> };

export const uncertified = { reason: "expired", detail: "the proxy holds no valid certificate" } satisfies Fault;

/** One verdict, with the credentials that are used for the whole of it. */
export type Judging = Omit<Identified, "credentials"> & { readonly credentials: Credentials };

export function verifyPeer(
  socket: TLSSocket,
  expected: Expected,
  { credentials, maxLeafLifetimeMs, clock }: Judging,
): Peer | Refusal {
  return verify({
    chain: peerChain(socket),
    now: clock.now(),
    expected,
    bundle: credentials.bundle,
    openssl: opensslVerdict(socket),
    maxLeafLifetimeMs,
  });
}
