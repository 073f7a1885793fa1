/** When to renew and when to try again, as values. Pure: time and chance are arguments. */

/** No earlier than this after a certificate came, so that a CA that hands out ended ones is not hammered. */
const soonestMs = 1_000;

/**
 * Milliseconds to wait from `receivedAt`: half of the time that is left of the certificate then, +-10 % so that pods
 * started together do not renew together. `random` is in [0, 1).
 */
export function renewAfter(receivedAt: number, notAfter: number, random: number): number {
  return Math.max(soonestMs, (notAfter - receivedAt) * 0.5 * (0.9 + 0.2 * random));
}

const firstRetryMs = 200;
/** Between tries once the certificate has ended or is about to: nothing can flow then. */
const urgentMs = 2_000;
const calmMs = 30_000;

/**
 * Milliseconds to the next try; `attempt` counts failures from 1, `leftMs` is what the certificate in use has left, 0
 * where there is none. Exponential, between half and all of the step, and never more than a tenth of what is left: a
 * wait that began long before the end would otherwise reach beyond it, with a CA that is back meanwhile.
 */
export function retryAfter(attempt: number, leftMs: number, random: number): number {
  const longest = Math.min(calmMs, Math.max(urgentMs, leftMs / 10));
  const step = Math.min(longest, firstRetryMs * 2 ** Math.min(attempt - 1, 16));
  return step * (0.5 + 0.5 * random);
}
