/** What is wrong with a certificate, and the rules that leaves and CAs share. Pure. */
import type { Reason } from "../errors/reasons.ts";
import type { Certificate } from "./certificate.ts";

/** `detail` is evidence for a log, never for the peer. */
export type Fault = { readonly reason: Reason; readonly detail: string };

const longestSerial = 20;

/** RFC 5280, 4.1.2.2: positive, at most 20 octets as encoded. */
export function serialFault({ serial }: Certificate): Fault | null {
  if (serial.length > longestSerial) return { reason: "bad_serial", detail: `${serial.length} octets` };
  const negative = (serial[0]! & 0x80) !== 0;
  const zero = serial.length === 1 && serial[0] === 0;
  return negative || zero ? { reason: "bad_serial", detail: "not positive" } : null;
}

/** The first critical extension that nobody here reads. */
export function unknownCritical(certificate: Certificate, readers: ReadonlySet<string>): Fault | null {
  for (const [oid, extension] of certificate.extensions) {
    if (extension.critical && !readers.has(oid)) return { reason: "unknown_critical_extension", detail: oid };
  }
  return null;
}
