/**
 * The one place that says how sessions between proxies are secured: TLS 1.3 only, post-quantum key exchange first,
 * client and server certificates, h2 demanded, and no session ever resumed.
 */
import { constants } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { SecureContext, SecureContextOptions } from "node:tls";
import type { Identity } from "../../lib/enrolment/identity.ts";

export const alpn: readonly string[] = ["h2"];

/** Order of preference; the first is OpenSSL 3.5's hybrid of ML-KEM-768 and X25519. */
const groups = "X25519MLKEM768:X25519:P-256";

/**
 * Resumption would skip the verifier: `session` is never passed to a dial, and no ticket of ours can be used. OpenSSL
 * still sends some in TLS 1.3, but with this option they only name a session in a store, and nobody keeps one.
 */
const noTickets = constants.SSL_OP_NO_TICKET;

/** `roots` are PEM; OpenSSL's own store holds nothing else, the project's CA is judged by our verifier. */
export function contextOptions(identity: Identity, roots: readonly string[]): SecureContextOptions {
  return {
    key: identity.keyPem(),
    cert: identity.chainPem,
    ca: [...roots],
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3",
    ecdhCurve: groups,
    secureOptions: noTickets,
    sessionIdContext: "tencrypt",
  };
}

type Made = { readonly roots: readonly string[]; readonly context: SecureContext };
const made = new WeakMap<Identity, Made>();

/** One for all dials with a certificate: each of its own cost 35 KB for as long as its session lived. */
export function clientContext(identity: Identity, roots: readonly string[]): SecureContext {
  const known = made.get(identity);
  if (known?.roots === roots) return known.context;
  const context = createSecureContext(contextOptions(identity, roots));
  made.set(identity, { roots, context });
  return context;
}
