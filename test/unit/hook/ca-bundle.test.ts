/** What is written into a webhook configuration, and when nothing is. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bundlePatch, readRoot } from "../../../hook/ca-bundle.ts";
import type { WebhookConfiguration } from "../../../hook/ca-bundle.ts";

const pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
const base64 = Buffer.from(pem).toString("base64");
const metadata = { name: "tencrypt", uid: "u1", resourceVersion: "7" };
const configuration = (...bundles: readonly (string | null)[]): WebhookConfiguration => ({
  metadata,
  webhooks: bundles.map((caBundle, index) => ({
    name: `w${index}.tencrypt.io`,
    clientConfig: caBundle === null ? {} : { caBundle },
  })),
});

describe("the caBundle", () => {
  test("is added to every webhook that lacks it, tied to the webhook's name", () => {
    assert.deepEqual(bundlePatch(configuration(null, base64, "b2xk"), pem), [
      { op: "test", path: "/webhooks/0/name", value: "w0.tencrypt.io" },
      { op: "add", path: "/webhooks/0/clientConfig/caBundle", value: base64 },
      { op: "test", path: "/webhooks/2/name", value: "w2.tencrypt.io" },
      { op: "add", path: "/webhooks/2/clientConfig/caBundle", value: base64 },
    ]);
  });

  test("is left alone where it is right, or where there is no webhook", () => {
    assert.deepEqual(bundlePatch(configuration(base64, base64), pem), []);
    assert.deepEqual(bundlePatch({ metadata }, pem), []);
  });
});

describe("the published root", () => {
  test("is taken as it stands", () => {
    assert.deepEqual(readRoot({ metadata, data: { "ca.crt": pem } }), { kind: "root", pem });
  });

  test("is none where there is no certificate, so that no webhook is shut out", () => {
    assert.deepEqual(readRoot({ metadata }), { kind: "none", why: "it has no key ca.crt" });
    assert.deepEqual(readRoot({ metadata, data: { "ca.crt": "" } }), { kind: "none", why: "no certificate" });
    assert.equal(readRoot({ metadata, data: { "ca.crt": `${pem}junk` } }).kind, "none");
  });
});
