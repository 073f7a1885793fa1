/**
 * A strict DER reader (X.690, the distinguished rules) over bytes with offsets. What it guarantees:
 *
 * - one byte string has at most one reading: every BER freedom is refused (indefinite and non-minimal lengths,
 *   constructed strings, non-minimal integers and OIDs, BOOLEANs other than 00 and FF, unordered SETs, set padding bits,
 *   high tag numbers, trailing bytes);
 * - depth, number of elements and size are bounded, and time is linear in the size;
 * - nothing is thrown out of `decode`: what is not DER, or not of the form that the given function asks for, is a value.
 *
 * Pure. The functions that take an Element may only be called inside of `decode`.
 */

/** One element: `bytes[start]` is its tag, its contents lie in [`content`, `end`). */
export type Element = {
  readonly tag: number;
  readonly start: number;
  readonly content: number;
  readonly end: number;
  /** The elements inside of a constructed one; empty for a primitive one. */
  readonly children: readonly Element[];
};

export type Decoded<T> = { readonly kind: "decoded"; readonly value: T } | Malformed;
export type Malformed = {
  readonly kind: "malformed";
  /** What is wrong, and at which offset. */ readonly what: string;
};

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

const deepest = 12;
const mostElements = 1024;
export const largestDer = 16_384;

/** Never leaves this file: `decode` turns it into a value. */
class NotDer extends Error {
  override name = "NotDer";
}

/** Ends the decoding; `at` is the offset of the offending element. */
export function malformed(what: string, at: number): never {
  throw new NotDer(`${what} at offset ${at}`);
}

/** Reads exactly one element that fills `bytes`, then lets `read` take it apart. */
export function decode<T>(bytes: Uint8Array, read: (root: Element, bytes: Uint8Array) => T): Decoded<T> {
  try {
    return { kind: "decoded", value: read(parse(bytes), bytes) };
  } catch (error) {
    if (error instanceof NotDer) return { kind: "malformed", what: error.message };
    throw error;
  }
}

/** The one element that fills `bytes`. For elements inside of an OCTET STRING; inside of `decode` only. */
export function parse(bytes: Uint8Array): Element {
  if (bytes.length > largestDer) malformed(`more than ${largestDer} bytes`, 0);
  const budget = { left: mostElements };
  const root = readElement({ bytes, budget }, { start: 0, limit: bytes.length, depth: 0 });
  if (root.end !== bytes.length) malformed("trailing bytes", root.end);
  return root;
}

type Input = { readonly bytes: Uint8Array; readonly budget: { left: number } };
type Place = { readonly start: number; readonly limit: number; readonly depth: number };

function readElement(input: Input, { start, limit, depth }: Place): Element {
  if (depth > deepest) malformed("nested too deeply", start);
  if (--input.budget.left < 0) malformed("too many elements", start);
  if (limit - start < 2) malformed("cut off", start);
  const tag = input.bytes[start]!;
  const { length, content } = readLength(input.bytes, start + 1, limit);
  const end = content + length;
  if (end > limit) malformed("longer than what holds it", start);
  const children =
    (tag & 0x20) === 0 ? none : readChildren(input, tag, { start: content, limit: end, depth: depth + 1 });
  if ((tag & 0x20) === 0) checkPrimitive(input.bytes, { tag, start, content, end, children });
  return { tag, start, content, end, children };
}

const none: readonly Element[] = [];

function readChildren(input: Input, tag: number, place: Place): readonly Element[] {
  // SEQUENCE, SET, or a context tag up to 30: a string must be primitive, and 31 announces a high tag number.
  const allowed = tag === tags.sequence || tag === tags.set || (tag >= 0xa0 && tag <= 0xbe);
  if (!allowed) malformed(`constructed tag 0x${tag.toString(16)}`, place.start);
  const children: Element[] = [];
  for (let at = place.start; at < place.limit;) {
    const child = readElement(input, { start: at, limit: place.limit, depth: place.depth });
    if (tag === tags.set && children.length > 0) checkOrder(input.bytes, children[children.length - 1]!, child);
    children.push(child);
    at = child.end;
  }
  return children;
}

/** X.690, 11.6: the elements of a SET OF ascend as octet strings. A repetition is refused as well. */
function checkOrder(bytes: Uint8Array, before: Element, after: Element): void {
  if (Buffer.compare(bytes.subarray(before.start, before.end), bytes.subarray(after.start, after.end)) >= 0) {
    malformed("SET out of order", after.start);
  }
}

/** X.690, 10.1: definite, in as few octets as possible. */
function readLength(bytes: Uint8Array, at: number, limit: number): { length: number; content: number } {
  const first = bytes[at]!;
  if (first < 0x80) return { length: first, content: at + 1 };
  const count = first & 0x7f;
  if (count === 0) malformed("indefinite length", at);
  if (count > 3 || at + 1 + count > limit) malformed("length of the length", at);
  let length = 0;
  for (let index = 1; index <= count; index++) length = length * 256 + bytes[at + index]!;
  if (length < 0x80 || length < 256 ** (count - 1)) malformed("length not minimal", at);
  return { length, content: at + 1 + count };
}

function checkPrimitive(bytes: Uint8Array, element: Element): void {
  const { tag, start, content, end } = element;
  if (tag >= 0x80 && tag <= 0x9e) return;
  switch (tag) {
    case tags.boolean:
      if (end - content !== 1 || (bytes[content] !== 0x00 && bytes[content] !== 0xff)) malformed("BOOLEAN", start);
      return;
    case tags.integer:
    case tags.enumerated:
      checkInteger(bytes, element);
      return;
    case tags.bitString:
      checkBitString(bytes, element);
      return;
    case tags.null:
      if (end !== content) malformed("NULL", start);
      return;
    case tags.oid:
      checkOid(bytes, element);
      return;
    case tags.utf8String:
      utf8Text(bytes, element);
      return;
    default:
      if (!opaque.has(tag)) malformed(`tag 0x${tag.toString(16)}`, start);
  }
}

/** OCTET STRING, the string types of a Name (Numeric, Printable, Teletex, IA5, Universal, BMP) and the two times: read by who wants them. */
const opaque: ReadonlySet<number> = new Set([0x04, 0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1c, 0x1e]);

/** X.690, 8.3.2: the first nine bits are not all equal. */
function checkInteger(bytes: Uint8Array, { start, content, end }: Element): void {
  if (end === content) malformed("INTEGER without content", start);
  if (end - content === 1) return;
  const first = bytes[content]!;
  const sign = bytes[content + 1]! & 0x80;
  if ((first === 0x00 && sign === 0) || (first === 0xff && sign !== 0)) malformed("INTEGER not minimal", start);
}

/** X.690, 11.2.1: unused bits are zero. */
function checkBitString(bytes: Uint8Array, { start, content, end }: Element): void {
  if (end === content) malformed("BIT STRING without content", start);
  const unused = bytes[content]!;
  if (unused > 7 || (unused > 0 && end - content === 1)) malformed("unused bits of a BIT STRING", start);
  if (unused > 0 && (bytes[end - 1]! & ((1 << unused) - 1)) !== 0) malformed("padding of a BIT STRING", start);
}

/** X.690, 8.19: whole arcs without leading zeros, here of at most 28 bits each. */
function checkOid(bytes: Uint8Array, { start, content, end }: Element): void {
  if (end === content || (bytes[end - 1]! & 0x80) !== 0) malformed("OBJECT IDENTIFIER", start);
  let octets = 0;
  for (let at = content; at < end; at++) {
    if (octets === 0 && bytes[at] === 0x80) malformed("arc of an OBJECT IDENTIFIER", start);
    octets = (bytes[at]! & 0x80) === 0 ? 0 : octets + 1;
    if (octets > 3) malformed("arc of an OBJECT IDENTIFIER too large", start);
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The content as UTF-8, whatever the tag. */
export function utf8Text(bytes: Uint8Array, { start, content, end }: Element): string {
  try {
    return utf8.decode(bytes.subarray(content, end));
  } catch {
    return malformed("UTF-8", start);
  }
}

/** The content octet by octet, so that no octet is lost or changed. */
export const latin1Text = (bytes: Uint8Array, { content, end }: Element): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + content, end - content).toString("latin1");

/** Content octets, without a copy. */
export const contents = (bytes: Uint8Array, { content, end }: Element): Uint8Array => bytes.subarray(content, end);

/** Tag, length and content octets, without a copy. */
export const whole = (bytes: Uint8Array, { start, end }: Element): Uint8Array => bytes.subarray(start, end);

/** The children of an element that has to carry this tag. */
export function childrenOf(element: Element, tag: number): readonly Element[] {
  if (element.tag !== tag)
    malformed(`tag 0x${element.tag.toString(16)} instead of 0x${tag.toString(16)}`, element.start);
  return element.children;
}

/** The element itself if it is there and carries this tag. */
export function expectTag(element: Element | undefined, tag: number, parent: Element): Element {
  if (element === undefined) return malformed(`no element with tag 0x${tag.toString(16)}`, parent.start);
  if (element.tag !== tag)
    malformed(`tag 0x${element.tag.toString(16)} instead of 0x${tag.toString(16)}`, element.start);
  return element;
}

export function oidText(bytes: Uint8Array, { content, end }: Element): string {
  let text = "";
  let arc = 0;
  for (let at = content; at < end; at++) {
    const octet = bytes[at]!;
    arc = arc * 128 + (octet & 0x7f);
    if ((octet & 0x80) !== 0) continue;
    if (text === "") {
      const first = Math.min(Math.floor(arc / 40), 2);
      text = `${first}.${arc - first * 40}`;
    } else text += `.${arc}`;
    arc = 0;
  }
  return text;
}

/** An INTEGER from 0 to 2^31-1. */
export function smallInteger(bytes: Uint8Array, element: Element): number {
  const { start, content, end } = element;
  if (end - content > 4 || (bytes[content]! & 0x80) !== 0) malformed("INTEGER out of range", start);
  let value = 0;
  for (let at = content; at < end; at++) value = value * 256 + bytes[at]!;
  return value;
}

/** A BIT STRING of whole octets. */
export function wholeOctets(bytes: Uint8Array, { start, content, end }: Element): Uint8Array {
  if (bytes[content] !== 0) malformed("BIT STRING with unused bits", start);
  return bytes.subarray(content + 1, end);
}

/** A named bit list (X.690, 11.2.2: no trailing zero bits) of at most 16 bits, bit n of the list as 1 << n. */
export function namedBits(bytes: Uint8Array, { start, content, end }: Element): number {
  const octets = end - content - 1;
  if (octets > 2) malformed("named bits", start);
  const unused = bytes[content]!;
  if (octets > 0 && (bytes[end - 1]! & (1 << unused)) === 0) malformed("named bits with trailing zeros", start);
  let mask = 0;
  for (let bit = 0; bit < octets * 8; bit++) {
    if ((bytes[content + 1 + (bit >> 3)]! & (0x80 >> (bit & 7))) !== 0) mask |= 1 << bit;
  }
  return mask;
}

export const equalBytes = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && Buffer.compare(one, other) === 0;
