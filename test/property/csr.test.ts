// Whatever bytes arrive as a request: never an exception, and never a key under a request of which a signed byte was changed.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readCsr } from "../../ca/issue/csr.ts";
import { readJws } from "../../ca/authn/jws.ts";
import { generateKey, toPem } from "../pki/certificate.ts";
import { askingForUri, requestDer } from "../pki/request.ts";
import { spliced, withSignedByteChanged } from "./mutated-request.ts";
import { draw } from "./seed.ts";

const own = "spiffe://cluster.local/ns/shop/sa/cart";
const label = "CERTIFICATE REQUEST";
const key = generateKey("p256");
const der = Buffer.from(requestDer({ key, attributes: askingForUri(own) }));

void test("a request of which any signed byte was changed gives no key", () => {
  assert.equal(readCsr(toPem(der, label), own).kind, "csr");
  fc.assert(
    fc.property(withSignedByteChanged(der), (changed) => {
      assert.equal(readCsr(toPem(changed, label), own).kind, "denial");
    }),
    draw(10_000),
  );
});

void test("mutated requests never throw", () => {
  fc.assert(
    fc.property(spliced(der), (changed) => {
      const read = readCsr(toPem(changed, label), own);
      assert.ok(read.kind === "denial" || changed.equals(der), changed.toString("hex"));
    }),
    draw(10_000),
  );
});

void test("arbitrary text never throws, as a request or as a token", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ maxLength: 400 }),
        fc.uint8Array({ maxLength: 400 }).map((bytes) => toPem(bytes, label)),
      ),
      (text) => {
        assert.equal(readCsr(text, own).kind, "denial");
        assert.equal(readJws(text).kind, "denial");
      },
    ),
    draw(2_000),
  );
});

void test("arbitrary JSON in a token never throws", () => {
  const part = fc.json().map((text) => Buffer.from(text).toString("base64url"));
  fc.assert(
    fc.property(part, part, (header, claims) => {
      assert.ok(["jws", "denial"].includes(readJws(`${header}.${claims}.AAAA`).kind));
    }),
    draw(2_000),
  );
});
