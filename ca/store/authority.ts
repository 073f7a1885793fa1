/**
 * Certificates and keys of authorities as they lie in the store, checked before anything is signed with them: by the
 * same reader that every proxy uses (lib/x509/authority.ts), so what the ca signs with is what proxies accept. Pure.
 */
import { createPrivateKey, createPublicKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { Reason } from "../../lib/errors/reasons.ts";
import { readControlPlaneAuthority, readProjectAuthority, readRoot } from "../../lib/x509/authority.ts";
import type { Authority, ReadAuthority } from "../../lib/x509/authority.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import type { AuthorityPurpose, Signer } from "../issue/profile.ts";
import { content, readDer, tag } from "../x509/der.ts";
import { extensionOid, keyId } from "../x509/extensions.ts";
import { readPem } from "../x509/pem.ts";
import type { Pair } from "./files.ts";

/** An authority with its private key, ready to sign. */
export type SigningAuthority = { readonly certificate: Authority; readonly signer: Signer; readonly key: KeyObject };

/** What is wrong, as the end of a sentence that starts with the file's name. */
export type Problem = {
  readonly kind: "problem";
  readonly what: string;
  /** It may be good, but not under the root in use: what to do is about the root, not about this certificate. */
  readonly isOfAnotherRoot?: true;
};
const problem = (what: string): Problem => ({ kind: "problem", what });
export const hasEnded = "has ended";

const pemBlock = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----/g;

/** One certificate; text around it, as some tools write it, does not matter. */
function onlyCertificate(text: string): Buffer | null {
  const blocks = text.match(pemBlock) ?? [];
  return blocks.length === 1 ? readPem("CERTIFICATE", blocks[0]) : null;
}

/** `purpose` and `root` are null for the root itself. */
export type Expectation = {
  readonly purpose: AuthorityPurpose | null;
  readonly root: Authority | null;
  readonly now: number;
};

function read(der: Uint8Array, { purpose, root }: Expectation): ReadAuthority {
  if (purpose === null || root === null) return readRoot(der);
  const trust = { trustDomain: purpose.trustDomain, roots: [root] };
  return purpose.kind === "project"
    ? readProjectAuthority(der, purpose.project, trust)
    : readControlPlaneAuthority(der, trust);
}

/** How an authority of an earlier root shows: by the name of its issuer, or where that is the same, by the signature. */
const ofAnotherRoot: ReadonlySet<Reason> = new Set<Reason>(["untrusted_chain", "bad_signature"]);

export type CheckedCertificate = { readonly kind: "checked"; readonly certificate: Authority } | Problem;

/**
 * Its beginning is not judged: whoever verifies a chain does that, by a clock of its own, and a list of what may be trusted is
 * not looked at again because time has passed.
 */
export function checkCertificate(text: string, expectation: Expectation): CheckedCertificate {
  const der = onlyCertificate(text);
  if (der === null) return problem("is not exactly one certificate in PEM");
  const authority = read(der, expectation);
  if (authority.kind === "fault") {
    const { reason, detail } = authority.fault;
    const refusal = problem(`is refused: ${reason}: ${detail}`);
    const isIssued = expectation.root !== null;
    return isIssued && ofAnotherRoot.has(reason) ? { ...refusal, isOfAnotherRoot: true } : refusal;
  }
  return expectation.now >= authority.authority.notAfter
    ? problem(hasEnded)
    : { kind: "checked", certificate: authority.authority };
}

/** What leaves repeat of their issuer; null if the certificate's SubjectKeyIdentifier is malformed. */
function signerOf(authority: Authority): Signer | null {
  const parsed = parseCertificate(authority.der);
  const name = readDer(authority.subject);
  if (parsed.kind === "malformed" || name === null) return null;
  const written = parsed.value.extensions.get(extensionOid.subjectKeyIdentifier)?.value;
  const id =
    written === undefined ? keyId(parsed.value.key.der) : content(readDer(written) ?? undefined, tag.octetString);
  return id === null ? null : { name, keyId: id, notAfter: authority.notAfter };
}

/** `file` says which of the two is to blame. */
export type CheckedPair =
  | { readonly kind: "checked"; readonly authority: SigningAuthority }
  | (Problem & { readonly file: "certificate" | "key" });

export function checkPair(pair: Pair, expectation: Expectation): CheckedPair {
  const checked = checkCertificate(pair.certificate, expectation);
  if (checked.kind === "problem") return { ...checked, file: "certificate" };
  const { certificate } = checked;
  if (expectation.now < certificate.notBefore) return { ...problem("is not valid yet"), file: "certificate" };
  const signer = signerOf(certificate);
  if (signer === null) return { ...problem("has a malformed SubjectKeyIdentifier"), file: "certificate" };
  const key = readPrivateKey(pair.key);
  if (key === null) return { ...problem("is not a private key in PEM"), file: "key" };
  if (!createPublicKey(key).equals(certificate.key))
    return { ...problem("is not the key of the certificate beside it"), file: "key" };
  return { kind: "checked", authority: { certificate, signer, key } };
}

/** `old`: half of its life is over, and another one under the same root would live longer. */
export type Stage = "unusable" | "young" | "old" | "ended";

export function stageOf(pair: Pair, expectation: Expectation): Stage {
  const checked = checkPair(pair, expectation);
  if (checked.kind === "problem") return checked.what === hasEnded ? "ended" : "unusable";
  const { notBefore, notAfter, issuer } = checked.authority.certificate;
  const isHalfOver = expectation.now - notBefore >= (notAfter - notBefore) / 2;
  return isHalfOver && issuer !== null && notAfter < issuer.notAfter ? "old" : "young";
}

/** The error of a failure could quote the file: it is not passed on. */
function readPrivateKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem);
  } catch {
    return null;
  }
}
