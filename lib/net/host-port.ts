/** `host:port` as settings name it: to dial, or to listen on. Pure. */
import { isIpv6, parseIp, parsePort } from "./address.ts";

export type HostPort = { readonly host: string; readonly port: number };

/** The last label of a name is no number: `10.0.0.256` is an address that is wrong. */
const name =
  /^(?=.{1,253}$)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*(?![0-9]+\.?$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?$/;

/** A name or an address, IPv6 in brackets; 0 for any free port. */
export function parseHostPort(text: string): HostPort | null {
  const [, bracketed, plain = "", portText = ""] = /^(?:\[([^\]]*)\]|([^:]*)):([0-9]+)$/.exec(text) ?? [];
  const port = portText === "0" ? 0 : parsePort(portText);
  const ip = parseIp(bracketed ?? plain);
  if (port === null || (ip !== null && isIpv6(ip) !== (bracketed !== undefined))) return null;
  if (ip === null && (bracketed !== undefined || !name.test(plain))) return null;
  return { host: ip ?? plain, port };
}
