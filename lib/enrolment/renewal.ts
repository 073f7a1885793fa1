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

/** Back-off caps: 30 s while the certificate in use is valid, 2 s when there is none and nothing can flow. */
const capMs = { valid: 30_000, none: 2_000 } as const;
const firstRetryMs = 200;

/** `attempt` counts failures from 1. Exponential, between half and all of the step. */
export function retryAfter(attempt: number, holds: keyof typeof capMs, random: number): number {
  const step = Math.min(capMs[holds], firstRetryMs * 2 ** Math.min(attempt - 1, 16));
  return step * (0.5 + 0.5 * random);
}
