/**
 * Who is at the other end of a session: the one function that says so, for both sides, every session and every use
 * (handshake, re-authentication, the CA's own read-back). It reads the DER itself and believes nothing that it was not
 * told by an argument. Pure: no clock, no I/O; it never throws. docs/adr/0002-own-verifier.md says why it exists.
 *
 * The order of the checks, chosen so that the reason is the most telling one. It is no secret and no defence: a peer
 * is accepted only when all have passed.
 *
 *  1. the chain as sent: there is one, it has at most 16 KiB, and it is leaf and CA, a root of the bundle tolerated as
 *     third                       no_certificate, chain_too_large, chain_too_long (untrusted_chain if OpenSSL says so)
 *  2. the leaf's form             malformed_certificate, bad_version, bad_serial, bad_algorithm, bad_key
 *  3. its name, and whether it is one that is expected here: another project's own certificate ends here
 *                                 bad_subject_alternative_name, identity_mismatch (untrusted_chain if OpenSSL says so)
 *  4. its issuer is one that the bundle lists for exactly that name: an expected name from another CA ends here
 *                                 wrong_issuer (untrusted_chain if OpenSSL says so)
 *  5. the times of leaf, CA and root
 *                                 not_yet_valid, expired, lifetime_too_long
 *  6. the leaf's extensions       unknown_critical_extension, bad_basic_constraints, bad_key_usage,
 *                                 bad_extended_key_usage
 *  7. the leaf's signature, by the key of the authority found in 4
 *                                 bad_signature
 *  8. OpenSSL's verdict, which can only refuse
 *                                 expired, not_yet_valid, untrusted_chain
 *  9. the pod                     no_pod_identity, identity_mismatch, wrong_namespace_uid, pod_denied, wrong_pod
 */
import type { Reason } from "../errors/reasons.ts";
import type { SpiffeId } from "../identity/spiffe-id.ts";
import { checkSignature } from "./algorithms.ts";
import { readControlPlaneAuthority } from "./authority.ts";
import type { Authority } from "./authority.ts";
import { parseCertificate } from "./certificate.ts";
import type { Certificate } from "./certificate.ts";
import { equalBytes, largestDer } from "./der.ts";
import type { Fault } from "./fault.ts";
import { leafExtensionFault, leafFormFault, leafName } from "./leaf.ts";
import type { PodIdentity } from "./pod-identity.ts";

export type { Authority } from "./authority.ts";
export type { PodIdentity } from "./pod-identity.ts";

/** What the CA says may be trusted; keyed by project and never pooled. Made by lib/trust/bundle.ts. */
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
export type OpensslVerdict =
  | { readonly kind: "trusted" }
  | { readonly kind: "refused"; readonly code: string }
  | { readonly kind: "not-asked" };

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
  /** Hex, lower case, the octets as in the certificate. */
  readonly serial: string;
  readonly notBefore: number;
  /** The earliest end in leaf, CA and root. */
  readonly notAfter: number;
  /** The bundle's authority that issued the leaf, DER; a session ends when the bundle stops listing it. Null for the control plane. */
  readonly issuer: Uint8Array | null;
  /** SubjectPublicKeyInfo of the leaf, for a later proof that the peer still holds the key. */
  readonly publicKey: Uint8Array;
};

/** `claimed`: the name that the leaf shows, where one could be read. For a log; it is a claim and may be any octets. */
export type Refusal = {
  readonly kind: "refusal";
  readonly reason: Reason;
  readonly detail: string;
  readonly claimed: string | null;
};

export function verify(verification: Verification): Peer | Refusal {
  const shape = shapeFault(verification);
  if (shape !== null) return refusal(shape, null);
  const parsed = parseCertificate(verification.chain[0]!);
  if (parsed.kind === "malformed") return refusal({ reason: "malformed_certificate", detail: parsed.what }, null);
  const leaf = parsed.value;
  const claimed = claimOf(leaf);

  const form = leafFormFault(leaf);
  if (form !== null) return refusal(form, claimed);
  const name = leafName(leaf, verification.expected.kind === "control-plane" ? "with-hosts" : "alone");
  if (name.kind === "fault") return refusal(name.fault, claimed);
  const unexpected = expectationFault(name.id, verification);
  if (unexpected !== null) return refusal(untrusted(verification.openssl, unexpected), claimed);

  const issuer = findIssuer(leaf, name.id, verification);
  if (issuer.kind === "fault") return refusal(issuer.fault, claimed);
  const fault =
    timesFault(leaf, issuer.authority, verification) ??
    leafExtensionFault(leaf) ??
    signatureFault(leaf, issuer.authority) ??
    opensslFault(verification.openssl) ??
    podFault(leaf, name.id, verification);
  return fault === null
    ? peer(leaf, name, { authority: issuer.authority, expected: verification.expected })
    : refusal(fault, claimed);
}

const refusal = ({ reason, detail }: Fault, claimed: string | null): Refusal => ({
  kind: "refusal",
  reason,
  detail,
  claimed,
});

const longestClaim = 256;

function claimOf(leaf: Certificate): string | null {
  return leaf.names?.find((name) => name.kind === "uri")?.text.slice(0, longestClaim) ?? null;
}

/** Where nobody vouches for the name, or the chain leads nowhere: OpenSSL's word for it, if it has one, tells more than ours. */
function untrusted(openssl: OpensslVerdict, otherwise: Fault): Fault {
  return openssl.kind === "refused" && timeCodes.get(openssl.code) === undefined
    ? { reason: "untrusted_chain", detail: openssl.code }
    : otherwise;
}

function shapeFault({ chain, bundle, openssl }: Verification): Fault | null {
  if (chain.length === 0) return { reason: "no_certificate", detail: "no chain" };
  const size = chain.reduce((sum, der) => sum + der.length, 0);
  if (size > largestDer) return { reason: "chain_too_large", detail: `${size} bytes` };
  const root = chain[2];
  const rootKnown = root === undefined || bundle.roots.some((known) => equalBytes(known.der, root));
  if (chain.length >= 2 && chain.length <= 3 && rootKnown) return null;
  return untrusted(openssl, {
    reason: "chain_too_long",
    detail: rootKnown ? `${chain.length} certificates` : "the third certificate is no root of the bundle",
  });
}

function expectationFault(id: SpiffeId, { expected, bundle }: Verification): Fault | null {
  const projectFits =
    expected.kind === "projects" ? expected.projects.has(id.project) : expected.project === id.project;
  const accountFits = expected.kind === "projects" || expected.serviceAccount === id.serviceAccount;
  if (id.trustDomain !== bundle.trustDomain) return { reason: "identity_mismatch", detail: "another trust domain" };
  if (!projectFits) return { reason: "identity_mismatch", detail: "another project" };
  return accountFits ? null : { reason: "identity_mismatch", detail: "another service account" };
}

type FoundIssuer =
  | { readonly kind: "authority"; readonly authority: Authority }
  | { readonly kind: "fault"; readonly fault: Fault };

/** The second lock: the CA certificate itself is one that the bundle lists for the named project, octet by octet. */
function findIssuer(leaf: Certificate, id: SpiffeId, { chain, expected, bundle, openssl }: Verification): FoundIssuer {
  const sent = chain[1]!;
  const wrong = (detail: string): FoundIssuer => ({
    kind: "fault",
    fault: untrusted(openssl, { reason: "wrong_issuer", detail }),
  });
  let authority: Authority | undefined;
  if (expected.kind === "control-plane") {
    const read = readControlPlaneAuthority(sent, bundle);
    if (read.kind === "fault") return wrong(`not the control-plane CA: ${read.fault.reason}: ${read.fault.detail}`);
    authority = read.authority;
  } else {
    authority = bundle.projects.get(id.project)?.authorities.find((listed) => equalBytes(listed.der, sent));
  }
  if (authority === undefined) return wrong(`the bundle does not list the issuing CA for ${id.project}`);
  return equalBytes(leaf.issuer, authority.subject)
    ? { kind: "authority", authority }
    : wrong("the leaf names another issuer");
}

/** Valid from notBefore on and until before notAfter, as OpenSSL counts: a session may not outlive the moment. */
function timesFault(leaf: Certificate, authority: Authority, { now, maxLeafLifetimeMs }: Verification): Fault | null {
  const spans = [leaf, authority, ...(authority.issuer === null ? [] : [authority.issuer])];
  const what = ["the leaf", "the CA", "the root"];
  const early = spans.findIndex((span) => !(now >= span.notBefore));
  if (early >= 0) return { reason: "not_yet_valid", detail: `${what[early]!} from ${iso(spans[early]!.notBefore)}` };
  const late = spans.findIndex((span) => !(now < span.notAfter));
  if (late >= 0) return { reason: "expired", detail: `${what[late]!} until ${iso(spans[late]!.notAfter)}` };
  const lifetime = leaf.notAfter - leaf.notBefore;
  return lifetime <= maxLeafLifetimeMs ? null : { reason: "lifetime_too_long", detail: `${lifetime / 1000} s` };
}

const iso = (time: number): string => new Date(time).toISOString();

function signatureFault(leaf: Certificate, authority: Authority): Fault | null {
  switch (checkSignature(leaf, authority.key)) {
    case "good":
      return null;
    case "bad":
      return { reason: "bad_signature", detail: "not by the issuing CA" };
    case "wrong-algorithm":
      return { reason: "bad_algorithm", detail: `${leaf.algorithm} by a key of another kind` };
  }
}

const timeCodes: ReadonlyMap<string, Reason> = new Map([
  ["CERT_HAS_EXPIRED", "expired"],
  ["CERT_NOT_YET_VALID", "not_yet_valid"],
] as const);

function opensslFault(openssl: OpensslVerdict): Fault | null {
  return openssl.kind === "refused"
    ? { reason: timeCodes.get(openssl.code) ?? "untrusted_chain", detail: openssl.code }
    : null;
}

function podFault(leaf: Certificate, id: SpiffeId, { expected, bundle }: Verification): Fault | null {
  if (expected.kind === "control-plane") return null;
  const pod = leaf.podIdentity;
  if (pod === null) return { reason: "no_pod_identity", detail: "no PodIdentity" };
  if (pod.podUid === "" || pod.namespaceUid === "")
    return { reason: "no_pod_identity", detail: pod.podUid === "" ? "no pod uid" : "no namespace uid" };
  if (pod.namespace !== "" && pod.namespace !== id.project)
    return { reason: "identity_mismatch", detail: "PodIdentity names another namespace" };
  if (pod.serviceAccount !== "" && pod.serviceAccount !== id.serviceAccount)
    return { reason: "identity_mismatch", detail: "PodIdentity names another service account" };
  if (pod.namespaceUid !== bundle.projects.get(id.project)?.uid)
    return { reason: "wrong_namespace_uid", detail: pod.namespaceUid };
  if (bundle.denied.has(pod.podUid)) return { reason: "pod_denied", detail: pod.podUid };
  if (expected.kind === "pod" && pod.podUid !== expected.podUid)
    return { reason: "wrong_pod", detail: `${pod.podUid} instead of ${expected.podUid}` };
  return null;
}

type Accepted = { readonly authority: Authority; readonly expected: Expected };

function peer(
  leaf: Certificate,
  name: { readonly id: SpiffeId; readonly uri: string },
  { authority, expected }: Accepted,
): Peer {
  const ofControlPlane = expected.kind === "control-plane";
  return {
    kind: "peer",
    id: name.id,
    uri: name.uri,
    pod: leaf.podIdentity,
    serial: Buffer.from(leaf.serial).toString("hex"),
    notBefore: leaf.notBefore,
    notAfter: Math.min(leaf.notAfter, authority.notAfter, authority.issuer?.notAfter ?? Infinity),
    issuer: ofControlPlane ? null : authority.der,
    publicKey: Uint8Array.from(leaf.key.der),
  };
}
