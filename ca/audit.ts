/**
 * The audit trail: one line for each certificate that was issued or refused, with everything that the caller is not
 * told. Each issuance has its line, and where the log takes none there is no issuance; refusals of one source beyond a rate are counted into the next line instead, so
 * nobody can fill the log.
 */
import type { Clock } from "../lib/clock/clock.ts";
import { RateLimiter } from "../lib/limit/rate-limit.ts";
import type { Log } from "../lib/log/log.ts";
import type { Caller } from "./authn/caller.ts";
import type { Denial } from "./denial.ts";
import type { CaMetrics } from "./metrics.ts";

export type Issued = { readonly serial: string; readonly notAfter: number; readonly bundleVersion: bigint };

/** The call as far as it is known: an unproven identity is never written down as the caller's. */
export type Circumstances = {
  readonly source: string;
  readonly caller: Caller | null;
  /** The caller's SPIFFE ID. */
  readonly spiffeId: string | null;
};
/** `request`: whatever it was to become. */
export type Operation = "certificate" | "bundle" | "request";

export type Audit = {
  /** Whether an issuance would have its line. */
  hasRoom(): boolean;
  issued(what: Issued, circumstances: Circumstances): void;
  refused(operation: Operation, why: Denial, circumstances: Circumstances): void;
};

const refusalLines = { perSecond: 10, burst: 100 };

const fieldsOf = ({ source, caller, spiffeId }: Circumstances): Record<string, unknown> => ({
  caller: spiffeId,
  pod: caller?.pod.pod ?? null,
  podUid: caller?.pod.podUid ?? null,
  source,
});

export type AuditParts = {
  readonly log: Log;
  /** The next line may be lost. */
  readonly logIsFull: () => boolean;
  readonly metrics: CaMetrics;
  readonly clock: Clock;
};

export function createAudit({ log, logIsFull, metrics, clock }: AuditParts): Audit {
  const lines = new RateLimiter(refusalLines);
  let suppressed = 0;
  return {
    hasRoom: () => !logIsFull(),
    issued: ({ serial, notAfter, bundleVersion }, circumstances) => {
      metrics.issued();
      log("info", "certificate_issued", {
        serial,
        ...fieldsOf(circumstances),
        notAfter: new Date(notAfter).toISOString(),
        bundleVersion,
      });
    },
    refused: (operation, { reason, detail }, circumstances) => {
      metrics.refused(operation, reason);
      if (!lines.take(circumstances.source, clock.monotonic())) {
        suppressed++;
        return;
      }
      log("warn", `${operation}_refused`, {
        reason,
        detail,
        ...fieldsOf(circumstances),
        ...(suppressed === 0 ? {} : { suppressedBefore: suppressed }),
      });
      suppressed = 0;
    },
  };
}
