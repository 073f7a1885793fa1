import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { splitPem } from "../../../../lib/x509/pem.ts";
import { pki } from "./mesh.ts";

const one = pki.root.pem;
const two = one + pki.project("shop").pem;
const short = (body: string): string => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;

test("certificates come back in order, octet by octet", () => {
  assert.deepEqual(splitPem(two), { kind: "blocks", ders: [pki.root.der, pki.project("shop").der] });
  assert.deepEqual(splitPem(`\n${two.replaceAll("\n", "\r\n")}\r\n\n`), splitPem(two));
  assert.deepEqual(splitPem(one.trimEnd()), splitPem(one));
});

const rows: readonly (readonly [what: string, text: string, problem: RegExp])[] = [
  ["nothing", "", /^no certificate/],
  ["text before a block", `subject=CN = root\n${one}`, /^line 1: neither/],
  ["text after a block", `${one}x`, /neither the begin/],
  ["another label", one.replaceAll("CERTIFICATE", "TRUSTED CERTIFICATE"), /^line 1: neither/],
  ["a key", one.replaceAll("CERTIFICATE", "PRIVATE KEY"), /^line 1: neither/],
  ["an end of another label", one.replace("END CERTIFICATE", "END X509 CRL"), /not base64/],
  ["no end", one.replace("-----END CERTIFICATE-----\n", ""), /line \d+: not base64|does not end/],
  ["a begin inside of a block", one.replace("\n", "\n-----BEGIN CERTIFICATE-----\n"), /^line 2: not base64/],
  ["a header inside of a block", one.replace("\n", "\nProc-Type: 4,ENCRYPTED\n"), /^line 2: not base64/],
  ["an empty line inside of a block", one.replace("\n", "\n\n"), /^line 2: not base64/],
  ["a space at the end of a line", one.replace("-----\n", "----- \n"), /^line 1: neither/],
  ["an empty block", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", /not canonical/],
  ["padding bits that are not zero", short("MAB="), /not canonical/],
  ["no padding", short("MA"), /not canonical/],
  ["padding in the middle", short("MA==\nMA=="), /not canonical/],
  ["the URL alphabet", short("MA__"), /not base64/],
  ["a line of 77 characters", short("A".repeat(77)), /not base64/],
  ["more than 1 MiB", " ".repeat(1_048_577), /1048576 characters/],
];

suite("refused", () => {
  for (const [what, text, problem] of rows) {
    test(what, () => {
      const result = splitPem(text);
      assert.match(result.kind === "malformed" ? result.what : "accepted", problem);
    });
  }
});
