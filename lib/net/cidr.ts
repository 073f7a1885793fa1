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

/** The same addresses in as few ranges as can be, in the order of their addresses. */
export function merged(cidrs: readonly Cidr[]): readonly Cidr[] {
  const ranges: Cidr[] = [];
  for (const next of cidrs.toSorted(byAddress)) {
    const last = ranges.at(-1);
    if (last !== undefined && contains(last, next.bytes)) continue;
    ranges.push(next);
    for (let parent = parentOf(ranges); parent !== null; parent = parentOf(ranges)) ranges.splice(-2, 2, parent);
  }
  return ranges;
}

/** The wider one first, so that what lies in another one comes after it. */
const byAddress = (a: Cidr, b: Cidr): number =>
  a.bytes.length - b.bytes.length || Buffer.compare(a.bytes, b.bytes) || a.bits - b.bits;

/** What the last two ranges are together, if they are the halves of one. */
function parentOf(ranges: readonly Cidr[]): Cidr | null {
  const [one, other] = ranges.slice(-2);
  if (one === undefined || other === undefined || one.bits !== other.bits || one.bits === 0) return null;
  const bits = one.bits - 1;
  const parent = { text: one.text.replace(/[0-9]+$/, String(bits)), bytes: one.bytes, bits };
  return !hasHostBits(one.bytes, bits) && contains(parent, other.bytes) ? parent : null;
}
