/**
 * The entries of `allow-from`, `allow-egress` and `allow-ingress`: one spelling each, exact matching, no patterns. Pure.
 */
import { contains, parseCidr } from "../net/cidr.ts";
import type { Cidr } from "../net/cidr.ts";
import { ipBytes, parseIp, parsePort } from "../net/address.ts";
import type { Ip } from "../net/address.ts";
import { isName } from "../identity/spiffe-id.ts";

/** `<project>/<service account>[:port]`. */
export type CallerRule = { readonly project: string; readonly serviceAccount: string; readonly port: number | null };

/** `CIDR[:port]`, `[CIDR6]:port`. */
export type AddressRule = { readonly cidr: Cidr; readonly port: number | null };

/** Names its source in either way. */
export type IngressRule = AddressRule | CallerRule;

/** Who calls, by the name that its certificate proves or the directory gives its address. */
export type Caller = { readonly project: string; readonly serviceAccount: string };

/** `10.0.0.0/8`, `10.0.0.0/8:443`, `fd00::/64`, `[fd00::/64]:443`; a single address needs its prefix too. */
export function parseAddressRule(text: string): AddressRule | null {
  if (text.startsWith("[")) {
    const close = text.indexOf("]:");
    const port = parsePort(text.slice(close + 2));
    const cidr = close < 0 ? null : parseCidr(text.slice(1, close));
    return cidr === null || port === null || !cidr.text.includes(":") ? null : { cidr, port };
  }
  const colon = text.indexOf(":");
  if (colon < 0 || text.indexOf(":", colon + 1) >= 0) {
    const cidr = parseCidr(text);
    return cidr === null ? null : { cidr, port: null };
  }
  const cidr = parseCidr(text.slice(0, colon));
  const port = parsePort(text.slice(colon + 1));
  return cidr === null || port === null ? null : { cidr, port };
}

/** `<project>/<service account>[:port]`. What looks like an address is none, so that a wrong CIDR is not read as a name. */
export function parseCallerRule(text: string): CallerRule | null {
  const slash = text.indexOf("/");
  const colon = text.indexOf(":", slash + 1);
  const project = text.slice(0, Math.max(0, slash));
  const serviceAccount = text.slice(slash + 1, colon < 0 ? undefined : colon);
  const port = colon < 0 ? null : parsePort(text.slice(colon + 1));
  if (!isName(project) || !isName(serviceAccount) || parseIp(project) !== null) return null;
  return colon >= 0 && port === null ? null : { project, serviceAccount, port };
}

export const parseIngressRule = (text: string): IngressRule | null => parseAddressRule(text) ?? parseCallerRule(text);

export function namesAddress(rules: readonly AddressRule[], ip: Ip, port: number): boolean {
  if (rules.length === 0) return false;
  const bytes = ipBytes(ip);
  return rules.some((rule) => (rule.port === null || rule.port === port) && contains(rule.cidr, bytes));
}

/** Whether some connection could be named by both. Of a name and an address that is not known: the pod may have any. */
export function mayNameTheSame(one: IngressRule, other: IngressRule): boolean {
  if (one.port !== null && other.port !== null && one.port !== other.port) return false;
  if ("cidr" in one && "cidr" in other)
    return contains(one.cidr, other.cidr.bytes) || contains(other.cidr, one.cidr.bytes);
  if ("cidr" in one || "cidr" in other) return true;
  return one.project === other.project && one.serviceAccount === other.serviceAccount;
}

export function namesCaller(rules: readonly CallerRule[], caller: Caller, port: number): boolean {
  return rules.some(
    (rule) =>
      rule.project === caller.project &&
      rule.serviceAccount === caller.serviceAccount &&
      (rule.port === null || rule.port === port),
  );
}
