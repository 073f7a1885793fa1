/**
 * Whether a connection starts with a TLS ClientHello, told from its first bytes as they arrive. Pure.
 *
 * A `yes` lets a connection out in clear under `strict`, so it takes the whole chain of lengths to agree: the record
 * (RFC 8446 section 5.1), the handshake header (section 4), and the ClientHello up to its compression methods
 * (section 4.1.2). What stands behind is the application's: this tells protocols apart, it does not stop a program
 * that wants to be mistaken for TLS.
 */

/** `more`: they do not tell yet. */
export type FirstBytes = "yes" | "no" | "more";

const uint16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
const recordLength = (bytes: Uint8Array): number => uint16(bytes, 3);
const helloLength = (bytes: Uint8Array): number => (bytes[6]! << 16) | uint16(bytes, 7);
const sessionIdLength = (bytes: Uint8Array): number => bytes[43]!;

const handshakeHeader = 4;
/** Version, random, session id length: where the first length inside the hello ends. */
const fixedPart = 2 + 32 + 1;
/** With an empty session id, one cipher suite and one compression method. */
const smallestHello = fixedPart + 2 + 2 + 1 + 1;
const largestHello = 0x20000;
const largestRecord = 0x4000;

/** What must hold as soon as so many bytes are there, in the order of the bytes. */
const steps: readonly (readonly [number, (bytes: Uint8Array) => boolean])[] = [
  [1, (bytes) => bytes[0] === 22],
  [2, (bytes) => bytes[1] === 3],
  [3, (bytes) => bytes[2]! <= 4],
  [5, (bytes) => recordLength(bytes) >= handshakeHeader + fixedPart && recordLength(bytes) <= largestRecord],
  [6, (bytes) => bytes[5] === 1],
  // A hello may go on in further records, but nothing follows it in its own.
  [
    9,
    (bytes) =>
      helloLength(bytes) >= Math.max(smallestHello, recordLength(bytes) - handshakeHeader) &&
      helloLength(bytes) <= largestHello,
  ],
  [10, (bytes) => bytes[9] === 3],
  [11, (bytes) => bytes[10]! <= 4],
  [44, (bytes) => sessionIdLength(bytes) <= 32],
];

export function looksLikeClientHello(bytes: Uint8Array): FirstBytes {
  for (const [needed, holds] of steps) {
    if (bytes.length < needed) return "more";
    if (!holds(bytes)) return "no";
  }
  return cipherSuites(bytes, 44 + sessionIdLength(bytes));
}

/** The last length that is looked at: an even number of bytes that fits into the hello and starts in the first record. */
function cipherSuites(bytes: Uint8Array, at: number): FirstBytes {
  if (5 + recordLength(bytes) < at + 2) return "no";
  if (bytes.length < at + 2) return "more";
  const length = uint16(bytes, at);
  const fits = smallestHello - 2 + sessionIdLength(bytes) + length <= helloLength(bytes);
  return length >= 2 && length % 2 === 0 && fits ? "yes" : "no";
}
