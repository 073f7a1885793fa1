/**
 * Chains of which something was changed: bits, octets and runs of them, headers and lengths of elements, parts and octets
 * of other certificates, the order. The same for the verifier alone and for a proxy that is sent them.
 */
import fc from "fast-check";
import { decode } from "../../lib/x509/der.ts";
import type { Element } from "../../lib/x509/der.ts";
import { concat, sequence } from "../pki/der-writer.ts";

// A position is a fraction, so that a case shrinks and is the same for each length.

type Mutation = (der: Uint8Array) => Uint8Array;
const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const octet = fc.integer({ min: 0, max: 255 });
const at = (der: Uint8Array, where: number): number => Math.floor(where * der.length);
const splice = (der: Uint8Array, start: number, { remove, add }: { remove: number; add: Uint8Array }): Uint8Array =>
  concat(der.subarray(0, start), add, der.subarray(Math.min(start + remove, der.length)));

const flip = fc.tuple(fraction, fc.integer({ min: 0, max: 7 })).map(([where, bit]): Mutation => (der) => {
  const copy = Uint8Array.from(der);
  if (copy.length > 0) copy[at(der, where)]! ^= 1 << bit;
  return copy;
});
const overwrite = fc.tuple(fraction, fc.uint8Array({ minLength: 1, maxLength: 8 })).map(
  ([where, add]): Mutation =>
    (der) =>
      splice(der, at(der, where), { remove: add.length, add }),
);
const insert = fc.tuple(fraction, fc.uint8Array({ minLength: 1, maxLength: 40 })).map(
  ([where, add]): Mutation =>
    (der) =>
      splice(der, at(der, where), { remove: 0, add }),
);
const remove = fc.tuple(fraction, fc.integer({ min: 1, max: 60 })).map(
  ([where, count]): Mutation =>
    (der) =>
      splice(der, at(der, where), { remove: count, add: new Uint8Array() }),
);
const repeat = fc.tuple(fraction, fc.integer({ min: 1, max: 60 })).map(([where, count]): Mutation => (der) => {
  const start = at(der, where);
  return splice(der, start, { remove: 0, add: der.subarray(start, start + count) });
});
const cut = fraction.map(
  (where): Mutation =>
    (der) =>
      der.subarray(0, at(der, where)),
);
const append = fc.uint8Array({ minLength: 1, maxLength: 20 }).map(
  (add): Mutation =>
    (der) =>
      concat(der, add),
);

/** Offsets of the headers of all elements, found by walking what can be walked. */
function headers(der: Uint8Array): readonly number[] {
  const found: number[] = [];
  const walk = (element: Element): void => {
    found.push(element.start);
    element.children.forEach(walk);
  };
  const walked = decode(der, walk);
  return walked.kind === "decoded" ? found : [0];
}
/** Changes tag or length of an element, where a reader is most easily misled. */
const header = fc
  .tuple(fraction, fc.integer({ min: 0, max: 2 }), octet)
  .map(([where, offset, value]): Mutation => (der) => {
    const list = headers(der);
    const copy = Uint8Array.from(der);
    const position = list[Math.floor(where * list.length)]! + offset;
    if (position < copy.length) copy[position] = value;
    return copy;
  });
/** A length in BER's long form, without touching what holds it, and with the outer lengths left as they are. */
const berLength = fraction.map((where): Mutation => (der) => {
  const list = headers(der);
  const position = list[Math.floor(where * list.length)]! + 1;
  const length = der[position];
  return length === undefined || length >= 0x80
    ? der
    : splice(der, position, { remove: 1, add: Uint8Array.of(0x81, length) });
});

type Parts = readonly [tbs: Uint8Array, algorithm: Uint8Array, signature: Uint8Array];
export function partsOf(der: Uint8Array): Parts | null {
  const decoded = decode(der, (root, bytes) => root.children.map((child) => bytes.subarray(child.start, child.end)));
  return decoded.kind === "decoded" && decoded.value.length === 3 ? (decoded.value as unknown as Parts) : null;
}
/** Parts of the certificate and of another one, joined into a well-formed whole. */
const swap = (donors: readonly Uint8Array[]): fc.Arbitrary<Mutation> =>
  fc.tuple(fc.nat(donors.length - 1), fc.integer({ min: 0, max: 7 })).map(([which, mask]): Mutation => (der) => {
    const own = partsOf(der);
    const foreign = partsOf(donors[which]!);
    if (own === null || foreign === null) return der;
    return sequence(...own.map((part, index) => (((mask >> index) & 1) === 1 ? foreign[index]! : part)));
  });
/** A run of octets of another certificate, at the same or another place. */
const graft = (donors: readonly Uint8Array[]): fc.Arbitrary<Mutation> =>
  fc
    .tuple(fc.nat(donors.length - 1), fraction, fraction, fc.integer({ min: 1, max: 120 }))
    .map(([which, from, to, count]): Mutation => (der) => {
      const donor = donors[which]!;
      const start = at(donor, from);
      return splice(der, at(der, to), { remove: count, add: donor.subarray(start, start + count) });
    });

const mutation = (donors: readonly Uint8Array[]): fc.Arbitrary<Mutation> =>
  fc.oneof(
    { weight: 4, arbitrary: flip },
    overwrite,
    insert,
    remove,
    repeat,
    cut,
    append,
    { weight: 3, arbitrary: header },
    berLength,
    { weight: 2, arbitrary: swap(donors) },
    graft(donors),
  );

/** What is done to a chain. */
type ChainMutation = {
  readonly position: number;
  readonly mutations: readonly Mutation[];
  /** The order of the chain after the mutation; null: as it was. */
  readonly order: readonly number[] | null;
};

/** `donors`: what good or evil certificates lie around for parts to be taken from. */
export const chainMutation = (donors: readonly Uint8Array[]): fc.Arbitrary<ChainMutation> =>
  fc.record({
    position: fc.nat(2),
    mutations: fc.array(mutation(donors), { minLength: 1, maxLength: 3 }),
    // Mostly as it was.
    order: fc.oneof(
      { weight: 8, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.array(fc.nat(2), { maxLength: 4 }) },
    ),
  });

export function mutate(chain: readonly Uint8Array[], { position, mutations, order }: ChainMutation): Uint8Array[] {
  const changed = chain.map((der, index) =>
    index === position % chain.length ? mutations.reduce((each, change) => change(each), der) : der,
  );
  return order === null ? changed : order.map((index) => changed[index % changed.length]!);
}
