/**
 * Leaves that are changed inside and then signed by the right CA, as by one whose template errs: no signature stands in
 * the way of the reader and of the rules. Nothing is thrown, and what is accepted says the same to OpenSSL.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { decode } from "../../lib/x509/der.ts";
import type { Element } from "../../lib/x509/der.ts";
import { loadBundle } from "../../lib/trust/bundle.ts";
import { verify } from "../../lib/x509/verify.ts";
import { signBytes } from "../pki/certificate.ts";
import { bitString, concat, sequence, tlv } from "../pki/der-writer.ts";
import { createPki, day } from "../pki/pki.ts";
import { draw } from "./seed.ts";

const changed = 3_000;
const now = Date.UTC(2026, 5, 15, 12);
const pki = createPki({ projects: [{ name: "shop", uid: "uid-shop" }], now });
const loaded = loadBundle(pki.rawBundle());
assert.equal(loaded.kind, "bundle");
const { bundle } = loaded;
const shop = pki.project("shop");

/** An element that can be changed; an OCTET STRING that holds DER has it as its child. */
type Node = { tag: number; content: Uint8Array; children: Node[] };

function nodeOf({ tag, content, end, children }: Element, bytes: Uint8Array): Node {
  const octets = bytes.subarray(content, end);
  const held = tag === 0x04 ? decode(octets, nodeOf) : null;
  const inside = held?.kind === "decoded" ? [held.value] : children.map((child) => nodeOf(child, bytes));
  return { tag, content: octets, children: inside };
}

const write = ({ tag, content, children }: Node): Uint8Array =>
  tlv(tag, children.length === 0 ? content : concat(...children.map(write)));
const copy = (node: Node): Node => ({ ...node, children: node.children.map(copy) });
const all = (node: Node): readonly Node[] => [node, ...node.children.flatMap(all)];

type Change = (node: Node, nodes: readonly Node[]) => void;
const octet = fc.nat(255);
/** Evenly: otherwise most changes were of the first element. */
const fraction = fc.noBias(fc.nat(0xffff)).map((value) => value / 0x1_0000);
const at = (list: { readonly length: number }, where: number): number => Math.floor(where * list.length);

/** Of the node's tag, in its own content, or among its children. */
const change: fc.Arbitrary<Change> = fc.oneof(
  octet.map((tag): Change => (node) => {
    node.tag = tag;
  }),
  fc.tuple(fraction, fc.nat(7)).map(([where, bit]): Change => (node) => {
    node.content = node.content.map((each, index) => (index === at(node.content, where) ? each ^ (1 << bit) : each));
  }),
  fc.tuple(octet, fc.boolean()).map(([value, inFront]): Change => (node) => {
    const [one, other] = inFront ? [Uint8Array.of(value), node.content] : [node.content, Uint8Array.of(value)];
    node.content = concat(one, other);
  }),
  fc.tuple(fraction, fc.nat(1), fraction).map(([where, count, from]): Change => ({ children }, nodes) => {
    children.splice(at(children, where), count, copy(nodes[at(nodes, from)]!));
  }),
  fraction.map((where): Change => ({ children }) => {
    children.splice(at(children, where), 1);
  }),
  fraction.map((where): Change => ({ children }) => {
    children.push(...children.splice(at(children, where), 1));
  }),
);
const drawn = fc.array(fc.tuple(fraction, change), { minLength: 1, maxLength: 2 });

test(`of ${changed} leaves that were changed and signed anew, those that are accepted say the same to OpenSSL`, () => {
  const leaf = pki.issueLeaf({ project: "shop", serviceAccount: "cart" }).der;
  const seen = new Map<string, number>();
  const property = fc.property(drawn, (changes) => {
    const parsed = decode(leaf, nodeOf);
    assert.equal(parsed.kind, "decoded");
    const [signed, algorithm] = parsed.value.children;
    for (const [where, apply] of changes) {
      const nodes = all(signed!);
      apply(nodes[at(nodes, where)]!, nodes);
    }
    const tbs = write(signed!);
    const der = sequence(tbs, write(algorithm!), bitString(signBytes(tbs, shop.key)));
    const verdict = verify({
      chain: [der, shop.der],
      now,
      expected: { kind: "projects", projects: new Set(["shop"]) },
      bundle,
      openssl: { kind: "not-asked" },
      maxLeafLifetimeMs: 2 * day,
    });
    const outcome = verdict.kind === "peer" ? "peer" : verdict.reason;
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    if (verdict.kind === "refusal") return;
    const theirs = new X509Certificate(der);
    assert.deepEqual(theirs.raw, Buffer.from(der));
    assert.equal(theirs.subjectAltName, `URI:${verdict.uri}`);
    assert.equal(theirs.serialNumber.toLowerCase().padStart(verdict.serial.length, "0"), verdict.serial);
    assert.equal(theirs.validFromDate.getTime(), verdict.notBefore);
    assert.ok(theirs.validToDate.getTime() >= verdict.notAfter && !theirs.ca);
    assert.ok(theirs.verify(shop.key.publicKey));
  });
  fc.assert(property, draw(changed));
  // Far enough in to matter: many rules have spoken, and many changes are no harm.
  assert.ok(seen.size >= 12 && seen.get("peer")! > 100, JSON.stringify([...seen]));
});
