/**
 * CA certificates: the profile that each kind has to fit, checked once, so that a verification only compares octets
 * and computes one signature. Three kinds: a root (as its owner made it), the CA of one project, the control-plane CA.
 * Each project CA and the control-plane CA say in a URI what they are for, under the root's signature: a stolen key of
 * one cannot play another. Times are not checked here, as a bundle outlives the moment when it is read. Pure.
 */
import type { KeyObject } from "node:crypto";
import type { Reason } from "../errors/reasons.ts";
import { checkSignature, importKey } from "./algorithms.ts";
import { extensionOids, keyUsageBits, parseCertificate, purposes } from "./certificate.ts";
import type { Certificate } from "./certificate.ts";
import { equalBytes } from "./der.ts";
import { serialFault, unknownCritical } from "./fault.ts";
import type { Fault } from "./fault.ts";
import { nameConstraintsFault } from "./name-constraints.ts";

/** A CA certificate, parsed and checked once. */
export type Authority = {
  readonly der: Uint8Array;
  readonly key: KeyObject;
  /** Its Name as DER. */
  readonly subject: Uint8Array;
  readonly notBefore: number;
  readonly notAfter: number;
  /** The root that signed it; null for a root. */
  readonly issuer: Authority | null;
};

export type ReadAuthority =
  | { readonly kind: "authority"; readonly authority: Authority }
  | { readonly kind: "fault"; readonly fault: Fault };

export const projectAuthorityUri = (trustDomain: string, project: string): string =>
  `spiffe://${trustDomain}/ca/project/${project}`;
export const controlPlaneAuthorityUri = (trustDomain: string): string => `spiffe://${trustDomain}/ca/control-plane`;

type Roots = { readonly trustDomain: string; readonly roots: readonly Authority[] };

/** Critical name constraints are known everywhere: they only restrict, and OpenSSL applies them in every handshake. */
const known: ReadonlySet<string> = new Set([
  extensionOids.keyUsage,
  extensionOids.subjectAltName,
  extensionOids.basicConstraints,
  extensionOids.nameConstraints,
  extensionOids.extendedKeyUsage,
]);

const fault = (reason: Reason, detail: string): Fault => ({ reason, detail });
const refused = (why: Fault): ReadAuthority => ({ kind: "fault", fault: why });

/** Self-signed; RSA from 2048 bits, P-384, P-256 or Ed25519. Its serial number is its owner's affair: nobody issued it. */
export function readRoot(der: Uint8Array): ReadAuthority {
  const parsed = parseCertificate(Uint8Array.from(der));
  if (parsed.kind === "malformed") return refused(fault("malformed_certificate", parsed.what));
  const root = parsed.value;
  const wrong = formFault(root) ?? rootKeyFault(root) ?? rootExtensionFault(root);
  if (wrong !== null) return refused(wrong);
  const key = importKey(root.key);
  if (key === null) return refused(fault("bad_key", "refused by OpenSSL"));
  if (!equalBytes(root.issuer, root.subject))
    return refused(fault("untrusted_chain", "the root was issued by another CA"));
  const signature = checkSignature(root, key);
  if (signature !== "good")
    return refused(fault(signature === "bad" ? "bad_signature" : "bad_algorithm", "the root's own signature"));
  return authority(root, key, null);
}

/** The CA that may issue for `project` and for nobody else. */
export function readProjectAuthority(der: Uint8Array, project: string, trust: Roots): ReadAuthority {
  const read = readIssued(der, projectAuthorityUri(trust.trustDomain, project));
  if (read.kind === "fault") return read;
  const wrong = nameConstraintsFault(read.certificate, trust.trustDomain);
  return wrong === null ? signedByRoot(read.certificate, trust.roots) : refused(wrong);
}

/** The CA of ca, controller and webhook. It may name hosts, so it needs no name constraints. */
export function readControlPlaneAuthority(der: Uint8Array, trust: Roots): ReadAuthority {
  const read = readIssued(der, controlPlaneAuthorityUri(trust.trustDomain));
  return read.kind === "fault" ? read : signedByRoot(read.certificate, trust.roots);
}

type Issued =
  | { readonly kind: "certificate"; readonly certificate: Certificate }
  | { readonly kind: "fault"; readonly fault: Fault };

function readIssued(der: Uint8Array, uri: string): Issued {
  const parsed = parseCertificate(Uint8Array.from(der));
  if (parsed.kind === "malformed") return { kind: "fault", fault: fault("malformed_certificate", parsed.what) };
  const wrong =
    formFault(parsed.value) ??
    serialFault(parsed.value) ??
    issuedKeyFault(parsed.value) ??
    purposeFault(parsed.value, uri) ??
    issuedExtensionFault(parsed.value);
  return wrong === null ? { kind: "certificate", certificate: parsed.value } : { kind: "fault", fault: wrong };
}

function formFault(certificate: Certificate): Fault | null {
  if (certificate.version !== 3) return fault("bad_version", `v${certificate.version}`);
  if (!certificate.algorithmsAgree) return fault("bad_algorithm", "inner and outer differ");
  if (certificate.algorithm === "other")
    return fault("bad_algorithm", "neither ECDSA, Ed25519 nor RSA (PKCS #1 v1.5) with SHA-256 or better");
  return certificate.subjectEmpty ? fault("malformed_certificate", "a CA without a subject") : null;
}

const fewestRsaBits = 2048;

function rootKeyFault({ key }: Certificate): Fault | null {
  const allowed = key.kind !== "other" && (key.kind !== "rsa" || key.bits >= fewestRsaBits);
  return allowed ? null : fault("bad_key", `${key.kind} ${key.bits}`);
}

const issuedKeyFault = ({ key }: Certificate): Fault | null =>
  key.kind === "p256" || key.kind === "ed25519" ? null : fault("bad_key", `${key.kind} ${key.bits}`);

/** Its one subject alternative name says what it may issue for. */
function purposeFault({ names }: Certificate, uri: string): Fault | null {
  const exact = names?.length === 1 && names[0]!.kind === "uri" && names[0]!.text === uri;
  return exact ? null : fault("bad_subject_alternative_name", `not exactly ${uri}`);
}

function rootExtensionFault(root: Certificate): Fault | null {
  const unknown = unknownCritical(root, known);
  if (unknown !== null) return unknown;
  const constraints = root.basicConstraints;
  if (constraints === null || !constraints.ca || constraints.pathLength === 0)
    return fault("bad_basic_constraints", "no CA of CAs");
  const mayCertify = root.keyUsage === null || (root.keyUsage & keyUsageBits.keyCertSign) !== 0;
  if (!mayCertify) return fault("bad_key_usage", "no keyCertSign");
  // OpenSSL holds a whole chain to it, in each handshake.
  const usages = root.extendedKeyUsage;
  const forBothEnds = usages === null || Object.values(purposes).every((each) => usages.includes(each));
  return forBothEnds ? null : fault("bad_extended_key_usage", "not for clients and servers");
}

function issuedExtensionFault(certificate: Certificate): Fault | null {
  const unknown = unknownCritical(certificate, known);
  if (unknown !== null) return unknown;
  const constraints = certificate.basicConstraints;
  const { critical } = certificate.extensions.get(extensionOids.basicConstraints) ?? { critical: false };
  if (constraints === null || !constraints.ca || constraints.pathLength !== 0 || !critical)
    return fault("bad_basic_constraints", "not a critical CA:TRUE with path length 0");
  const usage = certificate.keyUsage;
  const certifies = usage === keyUsageBits.keyCertSign || usage === (keyUsageBits.keyCertSign | keyUsageBits.crlSign);
  if (!certifies || certificate.extensions.get(extensionOids.keyUsage)?.critical !== true)
    return fault("bad_key_usage", "not a critical keyCertSign, with cRLSign at most");
  return certificate.extendedKeyUsage === null ? null : fault("bad_extended_key_usage", "in a CA");
}

/** Several roots may bear one name while one replaces the other; of those with one key the last to end counts. */
function signedByRoot(certificate: Certificate, roots: readonly Authority[]): ReadAuthority {
  const named = roots.filter((root) => equalBytes(root.subject, certificate.issuer));
  if (named.length === 0) return refused(fault("untrusted_chain", "issued by no root of the bundle"));
  const root = named
    .toSorted((one, other) => other.notAfter - one.notAfter)
    .find((each) => checkSignature(certificate, each.key) === "good");
  if (root === undefined) return refused(fault("bad_signature", "not by the root that it names"));
  const key = importKey(certificate.key);
  return key === null ? refused(fault("bad_key", "refused by OpenSSL")) : authority(certificate, key, root);
}

const authority = (
  { der, subject, notBefore, notAfter }: Certificate,
  key: KeyObject,
  issuer: Authority | null,
): ReadAuthority => ({
  kind: "authority",
  authority: { der, key, subject, notBefore, notAfter, issuer },
});
