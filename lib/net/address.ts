/**
 * IP addresses and endpoints as values that compare by `===`.
 *
 * An `Ip` is always in canonical text: dotted quad, or RFC 5952 for IPv6. Two spellings of one address can therefore
 * never be told apart by a map, and text that is not canonical is not an `Ip`. IPv4-mapped IPv6 is never an `Ip`. Pure.
 */

/** Canonical text of an IPv4 or IPv6 address. Made by `parseIp` and `ipFromSocket` only. */
export type Ip = string & { readonly __brand: "Ip" };

export type Endpoint = { readonly ip: Ip; readonly port: number };

const hexGroup = /^[0-9a-f]{1,4}$/i;
const zero = 0x30;
const nine = 0x39;

/**
 * Whether it is exactly four decimal numbers of 0-255 without leading zeros. Asked several times for a connection: by
 * characters it takes a tenth of what splitting it takes.
 */
function isDottedQuad(text: string): boolean {
  let dots = 0;
  let digits = 0;
  let value = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x2e) {
      if (digits === 0 || ++dots > 3) return false;
      digits = 0;
      value = 0;
      continue;
    }
    if (code < zero || code > nine || (digits > 0 && value === 0)) return false;
    digits++;
    value = value * 10 + code - zero;
    if (value > 255) return false;
  }
  return dots === 3 && digits > 0;
}

/** The four octets, or null. */
const octets = (text: string): number[] | null => (isDottedQuad(text) ? text.split(".").map(Number) : null);

/** The eight 16-bit groups, or null. Accepts every spelling of RFC 4291 but zone ids. */
function groups(text: string): number[] | null {
  const halves = text.split("::");
  if (halves.length > 2 || text.length > 45) return null;
  const head = halfGroups(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? halfGroups(halves[1] ?? "", true) : [];
  if (head === null || tail === null) return null;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
  return [...head, ...Array.from({ length: missing }, () => 0), ...tail];
}

function halfGroups(text: string, mayEndInIpv4: boolean): number[] | null {
  if (text === "") return [];
  const parts = text.split(":");
  const values: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (hexGroup.test(part)) {
      values.push(Number.parseInt(part, 16));
      continue;
    }
    const quad = mayEndInIpv4 && index === parts.length - 1 ? octets(part) : null;
    if (quad === null) return null;
    values.push((quad[0]! << 8) | quad[1]!, (quad[2]! << 8) | quad[3]!);
  }
  return values;
}

const isMapped = (values: readonly number[]): boolean =>
  values[5] === 0xffff && values.slice(0, 5).every((value) => value === 0);

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as `::`. */
function formatGroups(values: readonly number[]): string {
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && values[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
    if (length > 0) at += length - 1;
  }
  const hex = values.map((value) => value.toString(16));
  if (best.at < 0) return hex.join(":");
  return `${hex.slice(0, best.at).join(":")}::${hex.slice(best.at + best.length).join(":")}`;
}

/** Any valid spelling to its canonical form; null for anything else, zone ids and IPv4-mapped IPv6 included. */
export function parseIp(text: string): Ip | null {
  if (!text.includes(":")) return isDottedQuad(text) ? (text as Ip) : null;
  const values = groups(text);
  return values === null || isMapped(values) ? null : (formatGroups(values) as Ip);
}

/** The address as a socket reports it: a dual-stack listener shows IPv4 callers as `::ffff:a.b.c.d`. */
export function ipFromSocket(text: string | undefined): Ip | null {
  if (text === undefined) return null;
  return parseIp(text.startsWith("::ffff:") && text.includes(".") ? text.slice(7) : text);
}

export const isIpv6 = (ip: Ip): boolean => ip.includes(":");

/** 4 or 16 bytes in network order. */
export function ipBytes(ip: Ip): Uint8Array {
  if (!isIpv6(ip)) return Uint8Array.from(octets(ip)!);
  return Uint8Array.from(groups(ip)!.flatMap((value) => [value >> 8, value & 0xff]));
}

const portText = /^[1-9][0-9]{0,4}$/;

export const isPort = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 65_535;

/** A port of 1 to 65535 without sign, space or leading zeros. */
export function parsePort(text: string): number | null {
  const port = portText.test(text) ? Number(text) : null;
  return isPort(port) ? port : null;
}

/** `ip:port` or `[ip]:port`, in exactly the form that `formatEndpoint` writes; anything else is null. */
export function parseEndpoint(text: string): Endpoint | null {
  const colon = text.lastIndexOf(":");
  if (colon < 0) return null;
  const port = parsePort(text.slice(colon + 1));
  const host = text.slice(0, colon);
  const bracketed = host.startsWith("[") && host.endsWith("]");
  const ip = parseIp(bracketed ? host.slice(1, -1) : host);
  if (ip === null || port === null || isIpv6(ip) !== bracketed) return null;
  return formatEndpoint({ ip, port }) === text ? { ip, port } : null;
}

export const formatEndpoint = ({ ip, port }: Endpoint): string => (isIpv6(ip) ? `[${ip}]:${port}` : `${ip}:${port}`);

/** 127.0.0.0/8 and ::1. */
export const isLoopback = (ip: Ip): boolean => ip === "::1" || ip.startsWith("127.");

/** 169.254.0.0/16 and fe80::/10. */
export const isLinkLocal = (ip: Ip): boolean => ip.startsWith("169.254.") || /^fe[89ab][0-9a-f]:/.test(ip);

/** Unspecified, this network, multicast, reserved, broadcast; `::` and ff00::/8. */
export function isNobody(ip: Ip): boolean {
  if (ip.includes(":")) return ip === "::" || /^ff[0-9a-f]{2}:/.test(ip);
  const first = Number(ip.slice(0, ip.indexOf(".")));
  return first === 0 || first >= 224;
}

/** Whether a pod, a node or a Service can have the address. */
export const isOfHost = (ip: Ip): boolean => !isLoopback(ip) && !isLinkLocal(ip) && !isNobody(ip);
