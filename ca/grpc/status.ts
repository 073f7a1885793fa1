/**
 * What a caller learns of a refusal: the gRPC code, and one fixed text for each code. Why exactly is in the audit line
 * and the metric only.
 */
import { status } from "@grpc/grpc-js";
import type { Reason } from "../../lib/errors/reasons.ts";

const texts = {
  [status.INVALID_ARGUMENT]: "the request is not acceptable",
  [status.UNAUTHENTICATED]: "the caller could not be authenticated",
  [status.PERMISSION_DENIED]: "the caller may not have this",
  [status.RESOURCE_EXHAUSTED]: "too many requests",
  [status.UNAVAILABLE]: "not possible now, try again",
  [status.INTERNAL]: "internal error",
} as const;

export type Code = keyof typeof texts;

const codes: Partial<Record<Reason, Code>> = {
  rate_limited: status.RESOURCE_EXHAUSTED,
  ca_busy: status.UNAVAILABLE,
  request_incomplete: status.INVALID_ARGUMENT,
  request_malformed: status.INVALID_ARGUMENT,
  metadata_refused: status.PERMISSION_DENIED,
  bad_validity: status.INVALID_ARGUMENT,
  token_missing: status.UNAUTHENTICATED,
  token_malformed: status.UNAUTHENTICATED,
  token_bad_algorithm: status.UNAUTHENTICATED,
  token_unknown_key: status.UNAUTHENTICATED,
  token_bad_signature: status.UNAUTHENTICATED,
  token_wrong_issuer: status.UNAUTHENTICATED,
  token_wrong_audience: status.UNAUTHENTICATED,
  token_expired: status.UNAUTHENTICATED,
  token_not_yet_valid: status.UNAUTHENTICATED,
  token_not_of_a_pod: status.UNAUTHENTICATED,
  token_keys_unavailable: status.UNAVAILABLE,
  token_review_unavailable: status.UNAVAILABLE,
  token_refused: status.UNAUTHENTICATED,
  project_not_enabled: status.PERMISSION_DENIED,
  pod_gone: status.UNAUTHENTICATED,
  pod_not_protected: status.PERMISSION_DENIED,
  pod_address_pending: status.UNAVAILABLE,
  source_mismatch: status.PERMISSION_DENIED,
  pod_denied: status.PERMISSION_DENIED,
  csr_malformed: status.INVALID_ARGUMENT,
  csr_bad_key: status.INVALID_ARGUMENT,
  csr_bad_signature: status.INVALID_ARGUMENT,
  csr_other_identity: status.PERMISSION_DENIED,
  csr_asks_too_much: status.PERMISSION_DENIED,
  issuer_unusable: status.UNAVAILABLE,
  store_unavailable: status.UNAVAILABLE,
};

/** Whether the ca says so, and not gRPC by itself. */
export const isOurs = (details: string): boolean => Object.values<string>(texts).includes(details);

/** Reasons without a code are defects of the ca. */
export function statusOf(reason: Reason): { readonly code: Code; readonly details: string } {
  const code = codes[reason] ?? status.INTERNAL;
  return { code, details: texts[code] };
}
