/**
 * The four kinds of certificates, each as a template: root, control-plane CA, project CA, leaf. Everything that a
 * certificate says is decided here, from arguments that the ca itself knows; nothing comes from a request but the
 * public key. Pure.
 */
import { formatSpiffeId } from "../../lib/identity/spiffe-id.ts";
import type { SpiffeId } from "../../lib/identity/spiffe-id.ts";
import { controlPlaneAuthorityUri, projectAuthorityUri } from "../../lib/x509/authority.ts";
import type { PodIdentity } from "../../lib/x509/verify.ts";
import { emptyName, name } from "../x509/certificate.ts";
import type { Template } from "../x509/certificate.ts";
import type { Asn1 } from "../x509/der.ts";
import * as extensions from "../x509/extensions.ts";
import type { GeneralName } from "../x509/extensions.ts";

const day = 86_400_000;
const second = 1000;
const rootLifetime = 3650 * day;
const authorityLifetime = 730 * day;
/** Verifiers tolerate no clock difference, so the issuer starts a lifetime a little in the past. */
const longestBackdating = 60 * second;

/** What a template needs of the authority that will sign it. */
export type Signer = {
  readonly name: Asn1;
  readonly keyId: Uint8Array;
  readonly notAfter: number;
};

/** When, and with what serial number: the inputs that are neither policy nor identity. */
export type Moment = { readonly now: number; readonly serial: Uint8Array };

const wholeSeconds = (milliseconds: number): number => Math.floor(milliseconds / second) * second;

/**
 * The back-dating counts into the lifetime, which is therefore never longer than what was asked for; it is at most a
 * tenth of it, so that a short one stays usable for nearly its whole length.
 */
export function lifetimeFrom(now: number, ttl: number, issuerEnd: number): { notBefore: number; notAfter: number } {
  const notBefore = wholeSeconds(now - Math.min(longestBackdating, ttl / 10));
  return { notBefore, notAfter: Math.min(wholeSeconds(notBefore + ttl), wholeSeconds(issuerEnd)) };
}

export function rootTemplate(publicKey: Uint8Array, moment: Moment): Template {
  const self = name("Tencrypt root");
  const keyId = extensions.keyId(publicKey);
  return {
    serial: moment.serial,
    issuer: self,
    subject: self,
    ...lifetimeFrom(moment.now, rootLifetime, Number.MAX_SAFE_INTEGER),
    publicKey,
    extensions: [extensions.authority(null), extensions.authorityUsage, extensions.subjectKeyId(keyId)],
  };
}

/** Who an authority is for. Only that of the control plane may name hosts, for the sake of other agents. */
export type AuthorityPurpose =
  | { readonly kind: "control-plane"; readonly trustDomain: string }
  | { readonly kind: "project"; readonly trustDomain: string; readonly project: string };

const authorityUri = (purpose: AuthorityPurpose): string =>
  purpose.kind === "control-plane"
    ? controlPlaneAuthorityUri(purpose.trustDomain)
    : projectAuthorityUri(purpose.trustDomain, purpose.project);

export function authorityTemplate(
  purpose: AuthorityPurpose,
  publicKey: Uint8Array,
  root: Signer,
  moment: Moment,
): Template {
  const subject = name(purpose.kind === "control-plane" ? "Tencrypt control-plane CA" : purpose.project);
  return {
    serial: moment.serial,
    issuer: root.name,
    subject,
    ...lifetimeFrom(moment.now, authorityLifetime, root.notAfter),
    publicKey,
    extensions: [
      extensions.authority(0),
      extensions.authorityUsage,
      extensions.subjectAltName([{ kind: "uri", text: authorityUri(purpose) }], false),
      ...(purpose.kind === "project" ? [extensions.excludeDnsAndAddresses()] : []),
      extensions.subjectKeyId(extensions.keyId(publicKey)),
      extensions.authorityKeyId(root.keyId),
    ],
  };
}

export type LeafSubject = {
  readonly id: SpiffeId;
  /** Null for the control plane. */
  readonly pod: PodIdentity | null;
  /** Further names, of the control plane only. */
  readonly servingNames: readonly GeneralName[];
  readonly publicKey: Uint8Array;
  readonly ttl: number;
};

export function leafTemplate(subject: LeafSubject, issuer: Signer, moment: Moment): Template {
  const names: GeneralName[] = [{ kind: "uri", text: formatSpiffeId(subject.id) }, ...subject.servingNames];
  return {
    serial: moment.serial,
    issuer: issuer.name,
    subject: emptyName(),
    ...lifetimeFrom(moment.now, subject.ttl, issuer.notAfter),
    publicKey: subject.publicKey,
    extensions: [
      extensions.notAnAuthority,
      extensions.digitalSignatureUsage,
      extensions.tlsPurposes,
      extensions.subjectAltName(names, true),
      extensions.subjectKeyId(extensions.keyId(subject.publicKey)),
      extensions.authorityKeyId(issuer.keyId),
      ...(subject.pod === null ? [] : [extensions.podIdentity(subject.pod)]),
    ],
  };
}
