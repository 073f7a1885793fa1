/** Address ranges. `fd00::/64` and `10.0.0.0/16` never contain an address of the other family. Pure. */
import { ipBytes, isIpv6, parseIp } from "./address.ts";
import type { Ip } from "./address.ts";

export type Cidr = { readonly text: string; readonly bytes: Uint8Array; readonly bits: number };

const prefixText = /^(?:0|[1-9][0-9]{0,2})$/;

/** `address/bits`; the bits of the address behind the prefix must be zero. Null for anything else. */
export function parseCidr(text: string): Cidr | null {
  const slash = text.indexOf("/");
  const ip = slash < 0 ? null : parseIp(text.slice(0, slash));
  const bitsText = text.slice(slash + 1);
  if (ip === null || !prefixText.test(bitsText)) return null;
  const bits = Number(bitsText);
  if (bits > (isIpv6(ip) ? 128 : 32)) return null;
  const bytes = ipBytes(ip);
  const cidr = { text: `${ip}/${bits}`, bytes, bits };
  return hasHostBits(bytes, bits) ? null : cidr;
}

function hasHostBits(bytes: Uint8Array, bits: number): boolean {
  return bytes.some((byte, index) => (byte & ~prefixMask(bits, index)) !== 0);
}

/** The mask of byte `index` for a prefix of `bits`. */
function prefixMask(bits: number, index: number): number {
  const inByte = Math.min(8, Math.max(0, bits - index * 8));
  return (0xff << (8 - inByte)) & 0xff;
}

export function contains(cidr: Cidr, bytes: Uint8Array): boolean {
  if (cidr.bytes.length !== bytes.length) return false;
  for (let index = 0; index * 8 < cidr.bits; index++) {
    const mask = prefixMask(cidr.bits, index);
    if ((cidr.bytes[index]! & mask) !== (bytes[index]! & mask)) return false;
  }
  return true;
}

export function anyContains(cidrs: readonly Cidr[], ip: Ip): boolean {
  if (cidrs.length === 0) return false;
  const bytes = ipBytes(ip);
  return cidrs.some((cidr) => contains(cidr, bytes));
}
