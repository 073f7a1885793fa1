/** What is not a certificate in strict DER: one row a freedom that BER or a sloppy writer would take. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseCertificate } from "../../../../lib/x509/certificate.ts";
import {
  boolean,
  concat,
  explicit,
  hex,
  implicit,
  integer,
  octets,
  octetString,
  oid,
  sequence,
  set,
  tlv,
  utf8String,
} from "../../../pki/der-writer.ts";
import type { Bytes } from "../../../pki/der-writer.ts";
import { extensions, general, oids, withExtension } from "../../../pki/pki.ts";
import type { Edit, Template } from "../../../pki/pki.ts";
import { judge, leafOf } from "./mesh.ts";

type Row = readonly [what: string, detail: RegExp, edit: Edit];

const part =
  (change: (parts: Template) => Partial<Template>): Edit =>
  (parts) => ({ ...parts, ...change(parts) });
const value =
  (id: string, content: Bytes): Edit =>
  (parts) =>
    withExtension(parts, { oid: id, critical: false, value: content });
const utc = (text: string): Edit => part(() => ({ notBefore: tlv(0x17, octets(text)) }));
const generalized = (text: string): Edit => part(() => ({ notAfter: tlv(0x18, octets(text)) }));
const rawExtension = (...content: readonly Bytes[]): Edit =>
  part(() => ({ rawExtensions: explicit(3, sequence(sequence(...content))) }));
const podTexts = ["shop", "uid-shop", "cart", "", "cart-1", "u", "", ""];
const podField = (index: number, element: Bytes): Edit =>
  value(
    oids.podIdentity,
    sequence(...podTexts.map((text, at) => (at === index ? element : implicit(at, octets(text))))),
  );
const attribute = sequence(oid("2.5.4.3"), utf8String("x"));
const deep = (levels: number): Bytes => (levels === 0 ? sequence() : sequence(deep(levels - 1)));
const twice = (id: string): Edit =>
  part((parts) => ({
    extensions: [...(parts.extensions ?? []), ...(parts.extensions ?? []).filter((each) => each.oid === id)],
  }));

const rows: readonly Row[] = [
  // --- BER
  ["indefinite length", /indefinite length/, part(() => ({ subject: hex("30800000") }))],
  ["length in two octets where one suffices", /not minimal/, part(() => ({ subject: hex("308100") }))],
  ["length with a leading zero", /not minimal/, part(() => ({ subject: hex("30820000") }))],
  ["length 127 in two octets", /not minimal/, part(() => ({ subject: concat(hex("30817f"), new Uint8Array(127)) }))],
  [
    "length 128 in three octets",
    /not minimal/,
    part(() => ({ subject: concat(hex("30820080"), new Uint8Array(128)) })),
  ],
  ["length of the length 4", /length of the length/, part(() => ({ subject: hex("308400000000") }))],
  ["reserved length octet ff", /length of the length/, part(() => ({ subject: hex("30ff") }))],
  ["integer with a leading zero", /INTEGER not minimal/, part(() => ({ serial: hex("02020001") }))],
  ["negative integer with a leading ff", /INTEGER not minimal/, part(() => ({ serial: hex("0202ff80") }))],
  ["integer without content", /INTEGER without content/, part(() => ({ serial: hex("0200") }))],
  ["constructed OCTET STRING", /constructed tag 0x24/, rawExtension(oid("1.2.3"), tlv(0x24, octetString(hex("00"))))],
  [
    "constructed UTF8String",
    /constructed tag 0x2c/,
    part(() => ({ subject: sequence(set(sequence(oid("2.5.4.3"), tlv(0x2c, utf8String("x"))))) })),
  ],
  ["primitive SEQUENCE", /tag 0x10/, part(() => ({ subject: hex("1000") }))],
  ["high tag number", /tag 0x1f/, part(() => ({ subject: hex("1f0100") }))],
  ["high context tag number", /constructed tag 0xbf/, part(() => ({ beforeExtensions: hex("bf2000") }))],
  ["application class", /constructed tag 0x61/, part(() => ({ subject: hex("6100") }))],
  ["private class", /tag 0xc1/, part(() => ({ subject: hex("c100") }))],
  ["end-of-contents octets", /tag 0x0/, part(() => ({ subject: sequence(hex("0000")) }))],
  ["BOOLEAN 01", /BOOLEAN/, rawExtension(oid("1.2.3"), hex("010101"), octetString())],
  ["BOOLEAN of two octets", /BOOLEAN/, rawExtension(oid("1.2.3"), hex("0102ffff"), octetString())],
  ["NULL with content", /NULL/, part(() => ({ outerAlgorithm: sequence(oid("1.2.840.10045.4.3.2"), hex("050100")) }))],
  ["OID without content", /OBJECT IDENTIFIER/, rawExtension(hex("0600"), octetString())],
  ["OID that ends inside of an arc", /OBJECT IDENTIFIER/, rawExtension(hex("06022a86"), octetString())],
  ["OID arc with leading zeros", /arc of an OBJECT/, rawExtension(hex("06032a8001"), octetString())],
  ["OID arc of 35 bits", /arc of an OBJECT IDENTIFIER too large/, rawExtension(hex("06062affffffff7f"), octetString())],
  [
    "SET out of order",
    /SET out of order/,
    part(() => ({ subject: sequence(set(sequence(oid("2.5.4.4"), utf8String("x")), attribute)) })),
  ],
  ["SET with one element twice", /SET out of order/, part(() => ({ subject: sequence(set(attribute, attribute)) }))],
  ["nested thirteen deep", /nested too deeply/, part(() => ({ subject: deep(14) }))],
  [
    "more than 1024 elements",
    /too many elements/,
    part(() => ({ subject: sequence(...Array.from({ length: 1100 }, () => set())) })),
  ],
  // --- the certificate
  ["a byte after it", /trailing bytes/, part(() => ({ editCertificate: (der) => concat(der, hex("00")) }))],
  [
    "its last byte missing",
    /longer than what holds it/,
    part(() => ({ editCertificate: (der) => der.subarray(0, -1) })),
  ],
  [
    "a fourth part",
    /exactly three parts/,
    part(() => ({ editCertificate: (der) => sequence(der.subarray(4), hex("0500")) })),
  ],
  ["signature with unused bits", /unused bits/, part(() => ({ editCertificate: unusedBit }))],
  ["version 1 written out", /default version/, part(() => ({ version: explicit(0, integer(0)) }))],
  ["two versions", /version/, part(() => ({ version: explicit(0, integer(2), integer(2)) }))],
  ["issuerUniqueID", /more fields|tag 0x81/, part(() => ({ beforeExtensions: implicit(1, hex("0001")) }))],
  [
    "extensions twice",
    /more fields/,
    part((parts) => ({
      beforeExtensions: explicit(3, sequence(sequence(oid("1.2.3"), octetString()))),
      rawExtensions: parts.rawExtensions,
    })),
  ],
  ["an empty list of extensions", /list of extensions/, part(() => ({ rawExtensions: explicit(3, sequence()) }))],
  [
    "two lists of extensions in one field",
    /list of extensions/,
    part(() => ({ rawExtensions: explicit(3, sequence(sequence(oid("1.2.3"), octetString())), sequence()) })),
  ],
  ["critical FALSE written out", /default FALSE/, rawExtension(oid("1.2.3"), boolean(false), octetString())],
  ["an extension without a value", /extension/, rawExtension(oid("1.2.3"))],
  ["an extension of four parts", /extension/, rawExtension(oid("1.2.3"), boolean(true), octetString(), octetString())],
  ...[
    oids.subjectAltName,
    oids.basicConstraints,
    oids.keyUsage,
    oids.extendedKeyUsage,
    oids.podIdentity,
    oids.authorityKeyIdentifier,
  ].map((id): Row => [`extension ${id} twice`, /twice/, twice(id)]),
  [
    "an unknown extension twice",
    /1\.2\.3 twice/,
    part((parts) => ({
      extensions: [
        ...(parts.extensions ?? []),
        ...[1, 2].map(() => ({ oid: "1.2.3", critical: false, value: hex("") })),
      ],
    })),
  ],
  // --- names and times
  ["an empty relative name", /empty relative name/, part(() => ({ subject: sequence(set()) }))],
  [
    "an attribute without a value",
    /attribute of a name/,
    part(() => ({ subject: sequence(set(sequence(oid("2.5.4.3")))) })),
  ],
  ["a name that is no sequence of sets", /instead of 0x31/, part(() => ({ subject: sequence(attribute) }))],
  [
    "a UTF8String that is not UTF-8",
    /UTF-8/,
    part(() => ({ subject: sequence(set(sequence(oid("2.5.4.3"), tlv(0x0c, hex("ff"))))) })),
  ],
  ["a time of another type", /neither UTCTime/, part(() => ({ notBefore: integer(1) }))],
  ["UTCTime without seconds", /form of a time/, utc("2606151200Z")],
  ["UTCTime with an offset", /form of a time/, utc("260615120000+0000")],
  ["UTCTime without Z", /form of a time/, utc("260615120000")],
  ["UTCTime on 30 February", /does not exist/, utc("260230120000Z")],
  ["UTCTime in month 13", /does not exist/, utc("261301120000Z")],
  ["UTCTime in month 0", /does not exist/, utc("260001120000Z")],
  ["UTCTime at 24:00", /does not exist/, utc("260615240000Z")],
  ["UTCTime with a leap second", /does not exist/, utc("261231235960Z")],
  ["UTCTime with a NUL", /form of a time/, utc("260615120000Z\0")],
  ["GeneralizedTime before 2050", /before 2050/, generalized("20270615120000Z")],
  ["GeneralizedTime with a fraction", /form of a time/, generalized("20500615120000.0Z")],
  ["a third time", /validity/, part((parts) => ({ notAfter: concat(parts.notAfter, parts.notAfter) }))],
  // --- keys
  [
    "a key whose BIT STRING has unused bits",
    /unused bits/,
    part(() => ({ spki: sequence(sequence(oid("1.3.101.112")), tlv(0x03, hex("0180"))) })),
  ],
  [
    "a key with a third part",
    /SubjectPublicKeyInfo/,
    part(() => ({ spki: sequence(sequence(oid("1.3.101.112")), tlv(0x03, hex("00")), hex("0500")) })),
  ],
  // --- the extensions that we read
  [
    "BasicConstraints with CA FALSE written out",
    /default FALSE/,
    value(oids.basicConstraints, sequence(boolean(false))),
  ],
  [
    "BasicConstraints with a third field",
    /BasicConstraints/,
    value(oids.basicConstraints, sequence(boolean(true), integer(0), integer(0))),
  ],
  [
    "BasicConstraints with a negative path length",
    /out of range/,
    value(oids.basicConstraints, sequence(boolean(true), hex("0201ff"))),
  ],
  [
    "BasicConstraints and a byte after it",
    /trailing bytes/,
    value(oids.basicConstraints, concat(sequence(), hex("00"))),
  ],
  ["KeyUsage with trailing zero bits", /trailing zeros/, value(oids.keyUsage, hex("03020080"))],
  ["KeyUsage with a padding bit set", /padding/, value(oids.keyUsage, hex("030207ff"))],
  ["KeyUsage with eight unused bits", /unused bits/, value(oids.keyUsage, hex("03020800"))],
  ["KeyUsage of three octets", /named bits/, value(oids.keyUsage, hex("030400800001"))],
  ["KeyUsage that is no BIT STRING", /instead of 0x3/, value(oids.keyUsage, integer(128))],
  ["an empty ExtendedKeyUsage", /without usages/, value(oids.extendedKeyUsage, sequence())],
  [
    "a general name of an unknown kind",
    /kind of a general name/,
    value(oids.subjectAltName, sequence(general.uri("spiffe://x"), implicit(9, hex("00")))),
  ],
  [
    "a constructed URI",
    /kind of a general name/,
    value(oids.subjectAltName, sequence(explicit(6, utf8String("spiffe://x")))),
  ],
  [
    "subject alternative names and a byte after them",
    /trailing bytes/,
    value(oids.subjectAltName, concat(sequence(general.uri("spiffe://x")), hex("00"))),
  ],
  [
    "PodIdentity of seven fields",
    /exactly eight/,
    (parts) => withExtension(parts, extensions.podIdentity(podTexts.slice(0, 7))),
  ],
  [
    "PodIdentity of nine fields",
    /exactly eight/,
    (parts) => withExtension(parts, extensions.podIdentity([...podTexts, "x"])),
  ],
  ["PodIdentity out of order", /field 1 of PodIdentity/, podField(1, implicit(2, octets("x")))],
  ["PodIdentity with untagged strings", /field 0 of PodIdentity/, podField(0, utf8String("shop"))],
  ["PodIdentity with explicit tags", /field 0 of PodIdentity/, podField(0, explicit(0, utf8String("shop")))],
  ["PodIdentity with a NUL", /text of field 5/, podField(5, implicit(5, octets("u\0")))],
  ["PodIdentity with a line break", /text of field 4/, podField(4, implicit(4, octets("cart-1\n")))],
  ["PodIdentity that is not UTF-8", /UTF-8/, podField(4, implicit(4, hex("ff")))],
  ["PodIdentity with 254 characters", /text of field 4/, podField(4, implicit(4, octets("x".repeat(254))))],
];

/** One unused bit in the signature's BIT STRING, with its padding in order. */
function unusedBit(der: Bytes): Bytes {
  const copy = Buffer.from(der);
  const ecdsaWithSha256 = hex("300a06082a8648ce3d040302");
  copy[copy.lastIndexOf(ecdsaWithSha256) + ecdsaWithSha256.length + 2] = 1;
  copy[copy.length - 1]! &= 0xfe;
  return new Uint8Array(copy);
}

suite("malformed", () => {
  for (const [what, detail, edit] of rows) {
    test(what, () => {
      const verdict = judge({ chain: leafOf({ edit }) });
      assert.equal(verdict.kind, "refusal");
      if (verdict.kind !== "refusal") return;
      assert.equal(verdict.reason, "malformed_certificate", verdict.detail);
      assert.match(verdict.detail, detail);
    });
  }
});

test("every prefix of a certificate is malformed", () => {
  const der = leafOf()[0]!;
  for (let length = 0; length < der.length; length++)
    assert.equal(parseCertificate(der.subarray(0, length)).kind, "malformed", `${length} bytes`);
  assert.equal(parseCertificate(der).kind, "decoded");
});

test("more than 16 KiB is not even looked at", () => {
  const parsed = parseCertificate(new Uint8Array(16_385).fill(0x30));
  assert.equal(parsed.kind === "malformed" ? parsed.what : "", "more than 16384 bytes at offset 0");
});

test("a certificate inside of a larger buffer is read at its own offsets", () => {
  const der = leafOf()[0]!;
  const parsed = parseCertificate(concat(hex("ffff"), der, hex("ffff")).subarray(2, 2 + der.length));
  assert.equal(
    parsed.kind === "decoded" ? parsed.value.names?.[0]?.text : "",
    "spiffe://cluster.local/ns/shop/sa/cart",
  );
});
