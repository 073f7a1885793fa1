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
import { chainMutation, mutate, partsOf } from "./mutated-chain.ts";
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

const mutated = fc.record({ subject: fc.nat(subjects.length - 1), change: chainMutation(donors) });

suite("mutations", () => {
  test(`of ${mutations} mutated chains only the unchanged ones are accepted, and nothing is thrown`, () => {
    let accepted = 0;
    const seen = new Set<string>();
    const property = fc.property(mutated, (drawn) => {
      const { chain, expected } = subjects[drawn.subject]!;
      const sent = mutate(chain, drawn.change);
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
