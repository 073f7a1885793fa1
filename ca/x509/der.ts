/**
 * DER elements: built from values, and read back strictly. `readDer` accepts only bytes that encode again to exactly
 * themselves, so BER forms, trailing bytes and non-minimal integers are refused before anything looks inside. Pure.
 */
import asn1 from "node-forge/lib/asn1.js";
import type { Asn1 } from "node-forge/lib/asn1.js";

export type { Asn1 };

const universal = 0x00;
const contextSpecific = 0x80;

/** X.690 tag numbers. */
export const tag = {
  boolean: 1,
  integer: 2,
  bitString: 3,
  octetString: 4,
  null: 5,
  oid: 6,
  utf8String: 12,
  sequence: 16,
  set: 17,
  printableString: 19,
  utcTime: 23,
  generalizedTime: 24,
} as const;

const binary = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
const primitive = (type: number, content: string): Asn1 => asn1.create(universal, type, false, content);

export const sequence = (...children: Asn1[]): Asn1 => asn1.create(universal, tag.sequence, true, children);
export const set = (...children: Asn1[]): Asn1 => asn1.create(universal, tag.set, true, children);
export const oid = (dotted: string): Asn1 => primitive(tag.oid, asn1.oidToDer(dotted).getBytes());
export const nothing = (): Asn1 => primitive(tag.null, "");
export const truth = (): Asn1 => primitive(tag.boolean, "\xff");
export const octets = (bytes: Uint8Array): Asn1 => primitive(tag.octetString, binary(bytes));
export const utf8 = (text: string): Asn1 => primitive(tag.utf8String, Buffer.from(text).toString("latin1"));

/** An unsigned number in network order; a zero octet is put before a leading one-bit, so it is never negative. */
export function integer(bytes: Uint8Array): Asn1 {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Uint8Array.of(0) : bytes.subarray(first);
  return primitive(tag.integer, (digits[0]! >= 0x80 ? "\0" : "") + binary(digits));
}

/** Whole octets, or with `unusedBits` zero bits at the end. */
export const bitString = (bytes: Uint8Array, unusedBits = 0): Asn1 =>
  primitive(tag.bitString, String.fromCharCode(unusedBits) + binary(bytes));

/** `[number] EXPLICIT`, or an IMPLICIT constructed element. */
export const context = (number: number, ...children: Asn1[]): Asn1 =>
  asn1.create(contextSpecific, number, true, children);
/** `[number] IMPLICIT` of a primitive. */
export const contextPrimitive = (number: number, bytes: Uint8Array): Asn1 =>
  asn1.create(contextSpecific, number, false, binary(bytes));

const twoDigits = (value: number): string => String(value).padStart(2, "0");

/** RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050; whole seconds. */
export function time(milliseconds: number): Asn1 {
  const at = new Date(milliseconds);
  const rest = [at.getUTCMonth() + 1, at.getUTCDate(), at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()]
    .map(twoDigits)
    .join("");
  const year = at.getUTCFullYear();
  if (year >= 1950 && year < 2050) return primitive(tag.utcTime, `${twoDigits(year % 100)}${rest}Z`);
  return primitive(tag.generalizedTime, `${String(year).padStart(4, "0")}${rest}Z`);
}

export const writeDer = (element: Asn1): Buffer => Buffer.from(asn1.toDer(element).getBytes(), "latin1");

/** One element and nothing else, or null. */
export function readDer(bytes: Uint8Array): Asn1 | null {
  try {
    const element = asn1.fromDer(binary(bytes), {
      strict: true,
      parseAllBytes: true,
      decodeBitStrings: false,
      maxDepth: 16,
    });
    return writeDer(element).equals(bytes) ? element : null;
  } catch {
    return null;
  }
}

/** The children of a constructed element of this kind; null for anything else. */
function childrenOf(element: Asn1 | undefined, tagClass: number, type: number): readonly Asn1[] | null {
  if (element === undefined || element.tagClass !== tagClass || element.type !== type) return null;
  return element.constructed && typeof element.value !== "string" ? element.value : null;
}

export const sequenceOf = (element: Asn1 | undefined): readonly Asn1[] | null =>
  childrenOf(element, universal, tag.sequence);
export const setOf = (element: Asn1 | undefined): readonly Asn1[] | null => childrenOf(element, universal, tag.set);
export const contextOf = (element: Asn1 | undefined, number: number): readonly Asn1[] | null =>
  childrenOf(element, contextSpecific, number);

function contentOf(element: Asn1 | undefined, tagClass: number, type: number): Buffer | null {
  if (element === undefined || element.tagClass !== tagClass || element.type !== type) return null;
  return element.constructed || typeof element.value !== "string" ? null : Buffer.from(element.value, "latin1");
}

/** The content octets of a universal primitive. */
export const content = (element: Asn1 | undefined, type: number): Buffer | null => contentOf(element, universal, type);
/** The content octets of `[number] IMPLICIT`. */
export const contextContent = (element: Asn1 | undefined, number: number): Buffer | null =>
  contentOf(element, contextSpecific, number);

/** True if the element is exactly this one. */
export const isExactly = (element: Asn1 | undefined, wanted: Asn1): boolean =>
  element !== undefined && writeDer(element).equals(writeDer(wanted));
