/**
 * Writes DER, and on demand what is not DER, for test certificates. Independent of lib/x509 on purpose: a mistake in
 * the reader must not be repeated here. Each function returns one complete element.
 */

export type Bytes = Uint8Array;

export const concat = (...parts: readonly Bytes[]): Bytes => new Uint8Array(Buffer.concat(parts));

export const hex = (text: string): Bytes => new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));

const lengthOctets = (length: number): Bytes => {
  if (length < 0x80) return Uint8Array.of(length);
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  return Uint8Array.of(0x80 | octets.length, ...octets);
};

/** Tag, minimal length, contents. */
export function tlv(tag: number, ...contents: readonly Bytes[]): Bytes {
  const body = concat(...contents);
  return concat(Uint8Array.of(tag), lengthOctets(body.length), body);
}

export const sequence = (...contents: readonly Bytes[]): Bytes => tlv(0x30, ...contents);
export const set = (...contents: readonly Bytes[]): Bytes => tlv(0x31, ...contents);
export const octetString = (...contents: readonly Bytes[]): Bytes => tlv(0x04, ...contents);
export const boolean = (value: boolean): Bytes => tlv(0x01, Uint8Array.of(value ? 0xff : 0x00));
export const nothing = (): Bytes => tlv(0x05);

/** The body of BIT STRING with `unused` bits at its end. */
export const bitString = (body: Bytes, unused = 0): Bytes => tlv(0x03, Uint8Array.of(unused), body);

export const utf8String = (text: string): Bytes => tlv(0x0c, new Uint8Array(Buffer.from(text, "utf8")));

/** Latin-1, so that tests can place any octet, NUL included. */
export const octets = (text: string): Bytes => new Uint8Array(Buffer.from(text, "latin1"));

/** [n] IMPLICIT, primitive. */
export const implicit = (tag: number, content: Bytes): Bytes => tlv(0x80 | tag, content);
/** [n] constructed. */
export const explicit = (tag: number, ...contents: readonly Bytes[]): Bytes => tlv(0xa0 | tag, ...contents);

/** A non-negative INTEGER with minimal content. */
export function integer(value: bigint | number): Bytes {
  let digits = BigInt(value).toString(16);
  if (digits.length % 2 === 1) digits = `0${digits}`;
  const body = hex(digits);
  return tlv(0x02, (body[0] ?? 0) >= 0x80 ? concat(Uint8Array.of(0), body) : body);
}

export function oid(dotted: string): Bytes {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const body: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const base128 = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      base128.unshift((left % 128) | 0x80);
    body.push(...base128);
  }
  return tlv(0x06, Uint8Array.from(body));
}

/** UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280, 4.1.2.5). */
export function time(ms: number): Bytes {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  const year = new Date(ms).getUTCFullYear();
  return year < 2050 ? tlv(0x17, octets(digits.slice(2))) : tlv(0x18, octets(digits));
}

/** A Name of one commonName, or the empty Name. */
export function name(commonName: string | null): Bytes {
  if (commonName === null) return sequence();
  return sequence(set(sequence(oid("2.5.4.3"), utf8String(commonName))));
}
