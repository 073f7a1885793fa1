// A certificate request gives a P-256 key and the proof of its possession. What asks for more is refused, with its reason.
import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { readCsr } from "../../../ca/issue/csr.ts";
import type { Reason } from "../../../lib/errors/reasons.ts";
import { createCsr } from "../../../lib/x509/csr.ts";
import { general, generateKey, signBytes, spki, toPem } from "../../pki/certificate.ts";
import {
  boolean,
  concat,
  explicit,
  hex,
  integer,
  name,
  octets,
  oid,
  sequence,
  set,
  utf8String,
} from "../../pki/der-writer.ts";
import {
  asking,
  askingForUri,
  emptyOrganization,
  extension,
  extensionRequest,
  requestDer,
  requestPem,
  subjectAltName,
} from "../../pki/request.ts";
import type { RequestParts } from "../../pki/request.ts";

const own = "spiffe://cluster.local/ns/shop/sa/cart";

void test("the mesh's own request is accepted and gives its key", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const read = readCsr(createCsr(privateKey), own);
  assert.equal(read.kind, "csr");
  assert.ok(read.kind === "csr" && read.publicKey.equals(spki(publicKey)));
});

const accepted: Readonly<Record<string, Partial<RequestParts>>> = {
  "no attributes at all": { attributes: null },
  "the own SPIFFE ID, critical (ztunnel)": { attributes: askingForUri(own) },
  "the own SPIFFE ID, not critical": { attributes: askingForUri(own, false) },
  "one empty organization (Istio's agent)": { subject: emptyOrganization(), attributes: askingForUri(own) },
};

for (const [what, parts] of Object.entries(accepted)) {
  void test(`accepted: ${what}`, () => {
    const key = generateKey("p256");
    const read = readCsr(requestPem({ key, ...parts }), own);
    assert.ok(
      read.kind === "csr" && read.publicKey.equals(spki(createPublicKey(key.privateKey))),
      JSON.stringify(read),
    );
  });
}

const uri = (text: string) => askingForUri(text);
const key = generateKey("p256");
const other = generateKey("p256");
const dnsName = subjectAltName(true, general.dns("cart.shop.svc"));
const ownName = subjectAltName(true, general.uri(own));
const caTrue = extension("2.5.29.19", true, sequence(boolean(true)));
const compressed = hex("3039301306072a8648ce3d020106082a8648ce3d030107032200");
const offCurve = concat(hex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"), new Uint8Array(64).fill(7));

const refused: Readonly<Record<string, readonly [Reason, Partial<RequestParts>]>> = {
  "another service account": ["csr_other_identity", { attributes: uri("spiffe://cluster.local/ns/shop/sa/admin") }],
  "another project": ["csr_other_identity", { attributes: uri("spiffe://cluster.local/ns/other/sa/cart") }],
  "the own name in upper case": ["csr_other_identity", { attributes: uri("spiffe://cluster.local/ns/shop/sa/CART") }],
  "the own name with a NUL behind it": ["csr_other_identity", { attributes: uri(`${own}\0`) }],
  "the own name with another behind a comma": [
    "csr_other_identity",
    { attributes: uri(`${own}, URI:spiffe://cluster.local/ns/other/sa/x`) },
  ],
  "two URIs": ["csr_asks_too_much", { attributes: asking(subjectAltName(true, general.uri(own), general.uri(own))) }],
  "the own URI and a DNS name": [
    "csr_asks_too_much",
    { attributes: asking(subjectAltName(true, general.uri(own), general.dns("a"))) },
  ],
  "a DNS name alone": ["csr_asks_too_much", { attributes: asking(dnsName) }],
  "a DNS name that holds the SPIFFE ID": [
    "csr_asks_too_much",
    { attributes: asking(subjectAltName(true, general.dns(own))) },
  ],
  "an address": ["csr_asks_too_much", { attributes: asking(subjectAltName(true, general.ip([10, 0, 0, 1]))) }],
  "an e-mail": ["csr_asks_too_much", { attributes: asking(subjectAltName(true, general.email("a@b"))) }],
  "no names": ["csr_asks_too_much", { attributes: asking(subjectAltName(true)) }],
  "CA:TRUE": ["csr_asks_too_much", { attributes: asking(caTrue) }],
  "the own name and CA:TRUE": ["csr_asks_too_much", { attributes: asking(ownName, caTrue) }],
  "the own name twice": ["csr_asks_too_much", { attributes: asking(ownName, ownName) }],
  "no extension in the extensionRequest": ["csr_asks_too_much", { attributes: asking() }],
  "two extensionRequests": [
    "csr_asks_too_much",
    { attributes: explicit(0, extensionRequest(ownName), extensionRequest(dnsName)) },
  ],
  "two values in one extensionRequest": [
    "csr_asks_too_much",
    { attributes: explicit(0, sequence(oid("1.2.840.113549.1.9.14"), set(sequence(ownName), sequence(dnsName)))) },
  ],
  "a challenge password": [
    "csr_asks_too_much",
    { attributes: explicit(0, sequence(oid("1.2.840.113549.1.9.7"), set(utf8String("x")))) },
  ],
  "a common name": ["csr_asks_too_much", { subject: name("cart") }],
  "an organization": [
    "csr_asks_too_much",
    { subject: sequence(set(sequence(oid("2.5.4.10"), utf8String("system:masters")))) },
  ],
  "an extension written with critical FALSE": [
    "csr_asks_too_much",
    { attributes: asking(sequence(oid("2.5.29.17"), boolean(false), octets("\x04\x02\x30\x00"))) },
  ],
  "RSA-2048": ["csr_bad_key", { key: generateKey("rsa") }],
  "P-384": ["csr_bad_key", { key: generateKey("p384") }],
  Ed25519: ["csr_bad_key", { key: generateKey("ed25519") }],
  secp256k1: ["csr_bad_key", { key: generateKey("secp256k1") }],
  "a compressed point": [
    "csr_bad_key",
    { key, publicKey: concat(compressed.subarray(0, 26), Uint8Array.of(2), spki(key.publicKey).subarray(27, 59)) },
  ],
  "a point that is not on the curve": ["csr_bad_key", { key, publicKey: offCurve }],
  "a signature with SHA-384": [
    "csr_bad_key",
    { key, algorithm: sequence(oid("1.2.840.10045.4.3.3")), signature: (info) => signBytes(info, key, "sha384") },
  ],
  "another key's signature": ["csr_bad_signature", { key, signature: (info) => signBytes(info, other) }],
  "the signature of something else": ["csr_bad_signature", { key, signature: () => signBytes(octets("else"), key) }],
  "an empty signature": ["csr_bad_signature", { key, signature: () => new Uint8Array(0) }],
  "version 2": ["csr_malformed", { key, version: integer(1) }],
  "bytes behind the request": ["csr_malformed", { key, tamper: (der) => concat(der, Uint8Array.of(0)) }],
  "a length that is not minimal": [
    "csr_malformed",
    { key, tamper: (der) => concat(hex("3082"), Uint8Array.of(0, der[1]!), der.subarray(2)) },
  ],
  "an indefinite length": [
    "csr_malformed",
    { key, tamper: (der) => concat(hex("3080"), der.subarray(der[1]! > 0x80 ? 3 : 2), hex("0000")) },
  ],
};

for (const [what, [reason, parts]] of Object.entries(refused)) {
  void test(`refused: ${what}`, () => {
    const read = readCsr(requestPem(parts), own);
    assert.equal(read.kind === "denial" ? read.reason : read.kind, reason, JSON.stringify(read));
  });
}

const good = requestPem({ key });
const notPem: Readonly<Record<string, string>> = {
  nothing: "",
  garbage: "\0\x01garbage",
  "another label": toPem(requestDer({ key }), "CERTIFICATE"),
  "two blocks": good + good,
  "text before the block": `x\n${good}`,
  "base64 with a space": good.replace(/\n(.)/, "\n $1"),
  "a header inside": good.replace("REQUEST-----\n", "REQUEST-----\nProc-Type: 4,ENCRYPTED\n\n"),
  "a block that is cut": good.slice(0, 200),
};

for (const [what, text] of Object.entries(notPem)) {
  void test(`refused: ${what} instead of one PEM block`, () => {
    const read = readCsr(text, own);
    assert.equal(read.kind === "denial" ? read.reason : read.kind, "csr_malformed");
  });
}

void test("a request of more than 4 KiB is refused before anything reads it", () => {
  const read = readCsr(requestPem({ attributes: asking(extension("1.2.3.4", false, new Uint8Array(3600))) }), own);
  assert.deepEqual(read, { kind: "denial", reason: "csr_malformed", detail: "larger than 4096 bytes" });
});

void test("nesting without end is refused", () => {
  let deep = octets("\x05\x00");
  for (let level = 0; level < 600; level++) deep = sequence(deep);
  const read = readCsr(toPem(deep, "CERTIFICATE REQUEST"), own);
  assert.equal(read.kind === "denial" ? read.reason : read.kind, "csr_malformed");
});
