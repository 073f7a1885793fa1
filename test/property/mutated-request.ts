/** Certificate requests of which something was changed: the same for the reader alone and for the ca behind its port. */
import fc from "fast-check";

/** Where the signed part is: header and content, behind the header of the whole. */
function signedPart(der: Buffer): { readonly start: number; readonly end: number } {
  const start = der[1]! < 0x80 ? 2 : 2 + (der[1]! & 0x7f);
  return { start, end: start + (der[start + 1]! < 0x80 ? 2 + der[start + 1]! : 3 + der[start + 2]!) };
}

/** One byte of what is signed is another. */
export function withSignedByteChanged(der: Buffer): fc.Arbitrary<Buffer> {
  const { start, end } = signedPart(der);
  return fc.tuple(fc.integer({ min: start, max: end - 1 }), fc.integer({ min: 1, max: 255 })).map(([at, change]) => {
    const changed = Buffer.from(der);
    changed[at]! ^= change;
    return changed;
  });
}

/** Bytes left out and put in, anywhere; some come out as they were. */
export function spliced(der: Buffer): fc.Arbitrary<Buffer> {
  const splice = fc.record({ at: fc.nat(der.length - 1), drop: fc.nat(4), insert: fc.uint8Array({ maxLength: 6 }) });
  return fc
    .array(splice, { minLength: 1, maxLength: 4 })
    .map((splices) =>
      splices.reduce(
        (bytes, { at, drop, insert }) => Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + drop)]),
        der,
      ),
    );
}
