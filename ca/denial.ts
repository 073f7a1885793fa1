/** Why the ca refuses a call: a stable code for logs and metrics, and detail that only the audit line shows. */
import type { Reason } from "../lib/errors/reasons.ts";

export type Denial = { readonly kind: "denial"; readonly reason: Reason; readonly detail: string };

export const denial = (reason: Reason, detail: string): Denial => ({ kind: "denial", reason, detail });
