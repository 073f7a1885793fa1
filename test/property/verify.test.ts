/**
 * Mutations of good chains. Whatever is changed, nothing is thrown, and a chain is accepted only if leaf and CA are,
 * octet by octet, a leaf and the CA that issued it: no change of a signed octet, of the signature or of the framing
 * gets through. (ECDSA has one exception that is none: (r, n-s) is a second signature of the same octets.)
 */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { decode } from "../../lib/x509/der.ts";
import type { Element } from "../../lib/x509/der.ts";
import { verify } from "../../lib/x509/verify.ts";
import type { Expected, Peer, Refusal, Verification } from "../../lib/x509/verify.ts";
import { reasons } from "../../lib/errors/reasons.ts";
import { loadBundle } from "../../lib/trust/bundle.ts";
import { bitString, concat, integer, sequence } from "../pki/der-writer.ts";
import { createPki, day, general, minute } from "../pki/pki.ts";
import { draw } from "./seed.ts";

const mutations = 10_000;
const now = Date.UTC(2026, 5, 15, 12);
const pki = createPki({
  projects: [
    { name: "shop", uid: "uid-shop" },
    { name: "other", uid: "uid-other" },
  ],
  now,
});
const loaded = loadBundle(pki.rawBundle());
assert.equal(loaded.kind, "bundle");
const { bundle } = loaded;

const anybody: Expected = { kind: "projects", projects: new Set(["shop", "other"]) };
const controller: Expected = {
  kind: "control-plane",
  project: "tencrypt-system",
  serviceAccount: "tencrypt-controller",
};

type Subject = { readonly chain: readonly Uint8Array[]; readonly expected: Expected };
const subjects: readonly Subject[] = [
  { chain: pki.issueLeaf({ project: "shop", serviceAccount: "cart" }).chain, expected: anybody },
  { chain: pki.issueLeaf({ project: "shop", serviceAccount: "web", keyType: "ed25519" }).chain, expected: anybody },
  { chain: [...pki.issueLeaf({ project: "other" }).chain, pki.root.der], expected: anybody },
  {
    chain: pki.issueLeaf({ project: "shop", podUid: "p" }).chain,
    expected: { kind: "pod", project: "shop", serviceAccount: "default", podUid: "p" },
  },
  {
    chain: pki.issueControlPlane({
      project: "tencrypt-system",
      serviceAccount: "tencrypt-controller",
      names: [general.dns("webhook.svc")],
    }).chain,
    expected: controller,
  },
];
/** What good or evil certificates lie around for parts to be taken from. */
const donors: readonly Uint8Array[] = [
  ...subjects.flatMap((subject) => subject.chain),
  pki.issueLeaf({ project: "shop", issuer: pki.project("other") }).der,
  pki.issueLeaf({ project: "shop", notBefore: now - 2 * day, notAfter: now - day }).der,
  pki.selfSigned({ project: "shop" }).der,
];

const judge = (changes: Partial<Verification> & Subject): Peer | Refusal =>
  verify({ now, bundle, openssl: { kind: "not-asked" }, maxLeafLifetimeMs: 2 * day, ...changes });

const same = (one: Uint8Array | undefined, other: Uint8Array | undefined): boolean =>
  one !== undefined && other !== undefined && Buffer.compare(one, other) === 0;

/** A leaf with its own CA, both untouched. */
const genuine = (chain: readonly Uint8Array[]): boolean =>
  subjects.some((subject) => same(subject.chain[0], chain[0]) && same(subject.chain[1], chain[1]));

// --- mutators; a position is a fraction, so that a case shrinks and is the same for each length

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
function partsOf(der: Uint8Array): Parts | null {
  const decoded = decode(der, (root, bytes) => root.children.map((child) => bytes.subarray(child.start, child.end)));
  return decoded.kind === "decoded" && decoded.value.length === 3 ? (decoded.value as unknown as Parts) : null;
}
/** Parts of the certificate and of another one, joined into a well-formed whole. */
const swap = fc
  .tuple(fc.nat(donors.length - 1), fc.integer({ min: 0, max: 7 }))
  .map(([which, mask]): Mutation => (der) => {
    const own = partsOf(der);
    const foreign = partsOf(donors[which]!);
    if (own === null || foreign === null) return der;
    return sequence(...own.map((part, index) => (((mask >> index) & 1) === 1 ? foreign[index]! : part)));
  });
/** A run of octets of another certificate, at the same or another place. */
const graft = fc
  .tuple(fc.nat(donors.length - 1), fraction, fraction, fc.integer({ min: 1, max: 120 }))
  .map(([which, from, to, count]): Mutation => (der) => {
    const donor = donors[which]!;
    const start = at(donor, from);
    return splice(der, at(der, to), { remove: count, add: donor.subarray(start, start + count) });
  });

const mutation = fc.oneof(
  { weight: 4, arbitrary: flip },
  overwrite,
  insert,
  remove,
  repeat,
  cut,
  append,
  { weight: 3, arbitrary: header },
  berLength,
  { weight: 2, arbitrary: swap },
  graft,
);
const mutated = fc.record({
  subject: fc.nat(subjects.length - 1),
  position: fc.nat(2),
  mutations: fc.array(mutation, { minLength: 1, maxLength: 3 }),
  /** The order of the chain after the mutation: mostly as it was. */
  order: fc.oneof(
    { weight: 8, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.array(fc.nat(2), { maxLength: 4 }) },
  ),
});

suite("mutations", () => {
  test(`of ${mutations} mutated chains only the unchanged ones are accepted, and nothing is thrown`, () => {
    let accepted = 0;
    const seen = new Set<string>();
    const property = fc.property(mutated, (drawn) => {
      const { chain, expected } = subjects[drawn.subject]!;
      const position = drawn.position % chain.length;
      const changed = chain.map((der, index) =>
        index === position ? drawn.mutations.reduce((each, mutate) => mutate(each), der) : der,
      );
      const sent = drawn.order === null ? changed : drawn.order.map((index) => changed[index % changed.length]!);
      const verdict = judge({ chain: sent, expected });
      if (verdict.kind === "refusal") assert.ok(verdict.reason in reasons);
      else assert.ok(genuine(sent), `accepted: ${sent.map((der) => Buffer.from(der).toString("hex")).join(" ")}`);
      if (verdict.kind === "peer") accepted++;
      seen.add(verdict.kind === "peer" ? "peer" : verdict.reason);
    });
    fc.assert(property, draw(mutations));
    // The drawing must reach far: many kinds of refusals, the signature check among them, and hardly ever no change at all.
    assert.ok(seen.size >= 6 && seen.has("bad_signature"), [...seen].join(", "));
    assert.ok(accepted < mutations / 10, `${accepted} accepted`);
  });

  test("each octet of leaf and CA, with one bit flipped, is refused", () => {
    for (const { chain, expected } of subjects) {
      for (const position of [0, 1]) {
        for (let offset = 0; offset < chain[position]!.length; offset++) {
          const der = Uint8Array.from(chain[position]!);
          der[offset]! ^= 1 << (offset % 8);
          const sent = chain.map((each, index) => (index === position ? der : each));
          assert.equal(judge({ chain: sent, expected }).kind, "refusal", `certificate ${position}, octet ${offset}`);
        }
      }
    }
  });

  test("(r, n-s) is another signature of the same octets, and no change of them", () => {
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const { chain, expected } = subjects[0]!;
    const [tbs, algorithm, signature] = partsOf(chain[0]!)!;
    const numbers = decode(signature.subarray(3), (root, bytes) =>
      root.children.map((child) =>
        BigInt(`0x${Buffer.from(bytes.subarray(child.content, child.end)).toString("hex")}`),
      ),
    );
    assert.equal(numbers.kind, "decoded");
    const [r, s] = numbers.value;
    const twin = sequence(tbs, algorithm, bitString(sequence(integer(r!), integer(order - s!))));
    const verdict = judge({ chain: [twin, chain[1]!], expected });
    const original = judge({ chain, expected });
    assert.deepEqual(verdict, original);
    assert.equal(verdict.kind, "peer");
    assert.equal(
      judge({
        chain: [sequence(tbs, algorithm, bitString(sequence(integer(r!), integer(order + s!)))), chain[1]!],
        expected,
      }).kind,
      "refusal",
    );
  });
});

suite("the reader", () => {
  test("any octets are a value, never an exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        assert.equal(parseCertificate(bytes).kind, "malformed");
        const verdict = judge({ chain: [bytes, bytes], expected: anybody });
        assert.equal(verdict.kind === "refusal" ? verdict.reason : "", "malformed_certificate");
      }),
      draw(3_000),
    );
  });

  test("what decodes is DER: writing the tree again gives the same octets", () => {
    const leafOctets = fc.uint8Array({ maxLength: 6 });
    const primitive = fc
      .tuple(fc.constantFrom(0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x80, 0x86), leafOctets)
      .map(([tag, body]) => concat(Uint8Array.of(tag, body.length), body));
    const { element } = fc.letrec<{ element: Uint8Array }>((tie) => ({
      element: fc.oneof(
        { maxDepth: 5 },
        primitive,
        fc
          .tuple(fc.constantFrom(0x30, 0x31, 0xa0, 0xa3), fc.array(tie("element"), { maxLength: 4 }), fc.boolean())
          .map(([tag, children, long]) => {
            const body = concat(...children);
            const length = body.length >= 0x80 || long ? [0x82, body.length >> 8, body.length & 0xff] : [body.length];
            return concat(Uint8Array.of(tag, ...length), body);
          }),
      ),
    }));
    const counts = { decoded: 0, malformed: 0 };
    fc.assert(
      fc.property(element, (bytes) => {
        const result = decode(bytes, rewrite);
        counts[result.kind]++;
        if (result.kind === "decoded") assert.deepEqual(result.value, Buffer.from(bytes));
      }),
      draw(5_000),
    );
    assert.ok(counts.decoded > 100 && counts.malformed > 100, JSON.stringify(counts));
  });

  test("evil extensions inside of a well-signed leaf are a refusal, never an exception", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37", "1.3.6.1.4.1.57683.1"),
        fc.uint8Array({ maxLength: 60 }),
        (oid, value) => {
          const { chain } = pki.issueLeaf({
            project: "shop",
            notBefore: now - minute,
            edit: (parts) => ({
              ...parts,
              extensions: (parts.extensions ?? []).map((each) => (each.oid === oid ? { ...each, value } : each)),
            }),
          });
          assert.equal(judge({ chain, expected: anybody }).kind, "refusal");
        },
      ),
      draw(1_000),
    );
  });
});

/** Definite minimal lengths, children in their order. */
function rewrite(element: Element, bytes: Uint8Array): Buffer {
  const primitive = (element.tag & 0x20) === 0;
  const body = primitive
    ? Buffer.from(bytes.subarray(element.content, element.end))
    : Buffer.concat(element.children.map((child) => rewrite(child, bytes)));
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([element.tag, ...length]), body]);
}
