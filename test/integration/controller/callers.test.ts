/**
 * Who is let in to the directory, on the real controller and the real authorities of a ca: a connection without the certificate of a
 * pod is closed before a byte of HTTP/2, and the log says why. Each certificate here is a good one but for one thing.
 */
import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { connect } from "node:tls";
import { projectSecret } from "../../../ca/store/kubernetes-knowledge.ts";
import { parseCertificate } from "../../../lib/x509/certificate.ts";
import { whyNoApiServer } from "../../cluster/api-server.ts";
import { eventually } from "../../cluster/eventually.ts";
import type { Metadata } from "../../cluster/objects.ts";
import { createPki, hour, minute, oids, withoutExtension } from "../../pki/pki.ts";
import type { LeafOptions, TestAuthority } from "../../pki/pki.ts";
import { Rig } from "./rig.ts";
import type { Controller, LogLine } from "./rig.ts";

const why = whyNoApiServer();

let rig: Rig;
let controller: Controller;
let shop: Metadata;
let cart: Metadata;
let authorityOf: Readonly<Record<"shop" | "other", TestAuthority>>;

/** The project's CA as the ca keeps it, to sign with. */
async function authority(project: string): Promise<TestAuthority> {
  const { data } = (await rig.api.admin.get(
    `/api/v1/namespaces/tencrypt-ca/secrets/${projectSecret(project)}`,
  )) as unknown as { readonly data: Readonly<Record<string, string>> };
  const [pem, keyPem] = [data["tls.crt"]!, data["tls.key"]!].map((text) => Buffer.from(text, "base64").toString());
  const privateKey = createPrivateKey(keyPem!);
  const key = { type: "p256", privateKey, publicKey: createPublicKey(privateKey) } as const;
  const der = new Uint8Array(Buffer.from(pem!.replaceAll(/-----.*-----|\s/g, ""), "base64"));
  const parsed = parseCertificate(der);
  assert.ok(parsed.kind !== "malformed");
  return { commonName: project, subject: parsed.value.subject, key, der, pem: pem!, keyPem: keyPem! };
}

before(async () => {
  if (why !== null) return;
  rig = await Rig.start();
  controller = await rig.controller();
  shop = await rig.project("shop");
  await rig.project("other");
  cart = await rig.pod("shop", "cart-1");
  // Both have certificates, and so authorities.
  await rig.leafOf(cart);
  await rig.leafOf(await rig.pod("other", "cart-1"));
  authorityOf = { shop: await authority("shop"), other: await authority("other") };
});
after(() => rig?.stop());

const foreign = createPki({ projects: [{ name: "shop", uid: "" }] });

/** As the ca issues it for cart-1 of shop, but for `change`. */
function leafWith(change: Partial<LeafOptions> = {}): { readonly key: string; readonly cert: string } {
  const leaf = foreign.issueLeaf({
    project: "shop",
    serviceAccount: "cart",
    pod: "cart-1",
    podUid: cart.uid,
    namespaceUid: shop.uid,
    issuer: authorityOf.shop,
    // A ca makes the ids of keys in another way than these leaves do.
    edit: (parts) => withoutExtension(parts, oids.authorityKeyIdentifier),
    ...change,
  });
  return { key: leaf.keyPem, cert: leaf.chainPem };
}

/** What comes of a connection: the octets that the server has sent when it closes it, or as soon as there are some. */
function dial(shown: { readonly key?: string; readonly cert?: string }): Promise<number> {
  const { port } = controller.directory;
  const options = { host: "127.0.0.1", port, ALPNProtocols: ["h2"], rejectUnauthorized: false, ...shown };
  return new Promise((resolve) => {
    const socket = connect(options);
    let received = 0;
    socket.on("data", (bytes: Buffer) => {
      received += bytes.length;
      socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(received));
  });
}

const refusals = (from: number): readonly LogLine[] =>
  controller.lines.slice(from).filter(({ event }) => event === "directory_caller_refused");

describe("the directory", why === null ? {} : { skip: why }, () => {
  test("speaks to a pod with a certificate of its project's CA", async () => {
    const from = controller.lines.length;
    assert.ok((await dial(leafWith())) > 0);
    assert.deepEqual(refusals(from), []);
  });

  const now = Date.now();
  const cases: Readonly<Record<string, readonly [shown: () => Parameters<typeof dial>[0], reason: string]>> = {
    "no certificate": [() => ({}), "no_certificate"],
    "a certificate under another root": [() => leafWith({ issuer: foreign.project("shop") }), "untrusted_chain"],
    "a certificate of its project by another project's CA": [
      () => leafWith({ issuer: authorityOf.other }),
      "wrong_issuer",
    ],
    "a certificate that has ended": [
      () => leafWith({ notBefore: now - 2 * minute, notAfter: now - minute }),
      "expired",
    ],
    "a certificate that lives too long": [() => leafWith({ notAfter: now + 49 * hour }), "lifetime_too_long"],
    "a certificate whose issuer has not signed it": [
      () => leafWith({ signer: foreign.project("shop").key }),
      "bad_signature",
    ],
    "a certificate of a namespace that was there before": [
      () => leafWith({ namespaceUid: "00000000-0000-4000-8000-000000000000" }),
      "wrong_namespace_uid",
    ],
  };
  for (const [shown, [make, reason]] of Object.entries(cases))
    test(`closes a connection with ${shown}, unspoken to, and logs ${reason}`, async () => {
      const from = controller.lines.length;
      assert.equal(await dial(make()), 0);
      await eventually(async () => {
        const [line, ...more] = refusals(from);
        assert.deepEqual([line?.["reason"], line?.["source"], more.length], [reason, "127.0.0.1", 0]);
      });
    });
});
