/**
 * The verifier of peers (contract; see docs/architecture.md). Pure: no clock, no I/O.
 */
import type { KeyObject } from "node:crypto";
import type { Reason } from "../errors/reasons.ts";
import type { SpiffeId } from "../identity/spiffe-id.ts";

/** The PodIdentity extension of KEP-4317; empty text where unknown. */
export type PodIdentity = {
  readonly namespace: string;
  readonly namespaceUid: string;
  readonly serviceAccount: string;
  readonly serviceAccountUid: string;
  readonly pod: string;
  readonly podUid: string;
  readonly node: string;
  readonly nodeUid: string;
};

/** A CA certificate of the bundle, parsed and checked once when the bundle is loaded. */
export type Authority = { readonly der: Uint8Array; readonly key: KeyObject; readonly notAfter: number };

/** What the CA says may be trusted; keyed by project and never pooled. */
export type TrustBundle = {
  readonly version: bigint;
  readonly trustDomain: string;
  readonly roots: readonly Authority[];
  readonly projects: ReadonlyMap<string, { readonly uid: string; readonly authorities: readonly Authority[] }>;
  /** Pod uids that were revoked. */
  readonly denied: ReadonlySet<string>;
};

/** Who the other end has to be. */
export type Expected =
  /** Any pod of one of these projects (inbound): the own one and the mutual peers. */
  | { readonly kind: "projects"; readonly projects: ReadonlySet<string> }
  /** Exactly this pod (outbound). */
  | { readonly kind: "pod"; readonly project: string; readonly serviceAccount: string; readonly podUid: string }
  /** A program of the control plane, issued by the control-plane CA. */
  | { readonly kind: "control-plane"; readonly project: string; readonly serviceAccount: string };

/** OpenSSL's own opinion; `not-asked` where no handshake took place (read-back, re-authentication). */
export type OpensslVerdict = { readonly kind: "trusted" } | { readonly kind: "refused"; readonly code: string } | { readonly kind: "not-asked" };

export type Verification = {
  /** DER as sent, leaf first. */
  readonly chain: readonly Uint8Array[];
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly expected: Expected;
  readonly bundle: TrustBundle;
  readonly openssl: OpensslVerdict;
  readonly maxLeafLifetimeMs: number;
};

export type Peer = {
  readonly kind: "peer";
  readonly id: SpiffeId;
  /** The SPIFFE ID as text. */
  readonly uri: string;
  /** Null only for the control plane. */
  readonly pod: PodIdentity | null;
  readonly serial: string;
  readonly notBefore: number;
  readonly notAfter: number;
  /** The bundle's authority that issued the leaf, DER; a session ends when the bundle stops listing it. Null for the control plane. */
  readonly issuer: Uint8Array | null;
};

export type Refusal = { readonly kind: "refusal"; readonly reason: Reason; readonly detail: string; readonly claimed: string | null };
