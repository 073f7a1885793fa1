// The leaf: what it says comes from the caller and the settings, lives no longer than asked for, and passes openssl and the verifier.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { issueForControlPlane, issueForPod } from "../../../ca/issue/issue.ts";
import { leafTtl } from "../../../ca/issue/validity.ts";
import { checkPair } from "../../../ca/store/authority.ts";
import type { SigningAuthority } from "../../../ca/store/authority.ts";
import { newKey } from "../../../ca/x509/key.ts";
import { writePem } from "../../../ca/x509/pem.ts";
import { parseCertificate } from "../../../lib/x509/certificate.ts";
import type { Certificate } from "../../../lib/x509/certificate.ts";
import { createPki, day, hour, second } from "../../pki/pki.ts";
import type { TestAuthority } from "../../pki/pki.ts";

const trustDomain = "cluster.local";
const pki = createPki({
  trustDomain,
  projects: [
    { name: "shop", uid: "b1c0" },
    { name: "other", uid: "77aa" },
  ],
});
const now = Date.now();

function signing(authority: TestAuthority, project: string | null): SigningAuthority {
  const pair = { certificate: authority.pem, key: authority.keyPem };
  const root = project === null ? null : signing(pki.root, null).certificate;
  const purpose =
    project === null
      ? null
      : project === ""
        ? ({ kind: "control-plane", trustDomain } as const)
        : ({ kind: "project", trustDomain, project } as const);
  const checked = checkPair(pair, { purpose, root, now });
  assert.ok(checked.kind === "checked", JSON.stringify(checked));
  return checked.authority;
}

const root = signing(pki.root, null);
const shop = signing(pki.project("shop"), "shop");
const controlPlane = signing(pki.controlPlane, "");
const pod = {
  namespace: "shop",
  namespaceUid: "b1c0",
  serviceAccount: "cart",
  serviceAccountUid: "5a",
  pod: "cart-1",
  podUid: "9f3e",
  node: "",
  nodeUid: "",
};
const { publicKey } = newKey();

function issued(ttl: number, issuer = shop, at = now): { der: Buffer; parsed: Certificate } {
  const leaf = issueForPod({ pod, publicKey, ttl }, { trustDomain, root, issuer, now: at });
  assert.ok(leaf.kind === "leaf", JSON.stringify(leaf));
  const parsed = parseCertificate(leaf.der);
  assert.ok(parsed.kind === "decoded");
  return { der: leaf.der, parsed: parsed.value };
}

void test("a leaf names the pod and nothing else", () => {
  const { parsed } = issued(hour);
  assert.deepEqual(parsed.names, [{ kind: "uri", text: "spiffe://cluster.local/ns/shop/sa/cart" }]);
  assert.equal(parsed.subjectEmpty, true);
  assert.deepEqual(parsed.podIdentity, pod);
  assert.equal(parsed.extensions.get("1.3.6.1.4.1.57683.1")?.critical, false);
  assert.deepEqual(parsed.basicConstraints, { ca: false, pathLength: null });
});

void test("openssl accepts the chain, for both purposes", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-leaf-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const files = [
    "-CAfile",
    file("root.pem", pki.root.pem),
    "-untrusted",
    file("ca.pem", pki.project("shop").pem),
    file("leaf.pem", writePem("CERTIFICATE", issued(hour).der)),
  ];
  for (const purpose of ["sslserver", "sslclient"])
    execFileSync("openssl", ["verify", "-x509_strict", "-purpose", purpose, ...files]);
});

for (const ttl of [10 * second, 20 * second, hour, day]) {
  void test(`a lifetime of ${ttl / second} s is exactly that, back-dated by at most a tenth and 60 s`, () => {
    const { parsed } = issued(ttl);
    assert.equal(parsed.notAfter - parsed.notBefore, ttl);
    const backdated = now - parsed.notBefore;
    assert.ok(
      backdated >= Math.min(60 * second, ttl / 10) && backdated < Math.min(60 * second, ttl / 10) + second,
      `${backdated} ms`,
    );
  });
}

void test("a leaf ends with its issuer", () => {
  const at = shop.certificate.notAfter - 30_000;
  assert.equal(issued(day, shop, at).parsed.notAfter, shop.certificate.notAfter);
});

void test("serial numbers are random, positive and of at most 20 octets", () => {
  const serials = Array.from({ length: 20 }, () => Buffer.from(issued(hour).parsed.serial));
  assert.equal(new Set(serials.map((serial) => serial.toString("hex"))).size, 20);
  for (const serial of serials) assert.ok(serial.length === 17 && serial[0]! < 0x80);
});

void test("what the verifier would refuse is not handed out: another project's CA", () => {
  const outcome = issueForPod(
    { pod, publicKey, ttl: hour },
    { trustDomain, root, issuer: signing(pki.project("other"), "other"), now },
  );
  assert.equal(outcome.kind === "denial" ? outcome.reason : outcome.kind, "issuer_unusable");
});

void test("what the verifier would refuse is not handed out: an issuer that has ended, which is no defect", () => {
  const outcome = issueForPod(
    { pod, publicKey, ttl: hour },
    { trustDomain, root, issuer: shop, now: shop.certificate.notAfter },
  );
  assert.deepEqual(outcome.kind === "denial" && [outcome.reason, outcome.detail.split(":")[0]], [
    "issuer_unusable",
    "expired",
  ]);
});

void test("what the verifier would refuse is not handed out: a pod without uid", () => {
  const outcome = issueForPod(
    { pod: { ...pod, podUid: "" }, publicKey, ttl: hour },
    { trustDomain, root, issuer: shop, now },
  );
  assert.deepEqual(outcome, { kind: "denial", reason: "certificate_unfit", detail: "no_pod_identity: no pod uid" });
});

void test("the ca's own leaf carries its names of hosts beside the one SPIFFE ID", () => {
  const names = [
    { kind: "dns", text: "ca.tencrypt-ca.svc" },
    { kind: "ip", bytes: Uint8Array.of(10, 0, 0, 1) },
  ] as const;
  const leaf = issueForControlPlane(
    { project: "tencrypt-ca", serviceAccount: "tencrypt-ca", servingNames: names, publicKey, ttl: hour },
    { trustDomain, root, issuer: controlPlane, now },
  );
  assert.ok(leaf.kind === "leaf", JSON.stringify(leaf));
  const parsed = parseCertificate(leaf.der);
  assert.deepEqual(
    parsed.kind === "decoded" &&
      parsed.value.names?.map(({ kind, text }) => [
        kind,
        kind === "ip" ? [...Buffer.from(text, "latin1")].join(".") : text,
      ]),
    [
      ["uri", "spiffe://cluster.local/ns/tencrypt-ca/sa/tencrypt-ca"],
      ["dns", "ca.tencrypt-ca.svc"],
      ["ip", "10.0.0.1"],
    ],
  );
});

const asked: readonly (readonly [bigint, number | string])[] = [
  [0n, day],
  [10n, 10 * second],
  [3600n, hour],
  [86_400n, day],
  [86_401n, day],
  [2n ** 63n - 1n, day],
  [9n, "bad_validity"],
  [1n, "bad_validity"],
  [-1n, "bad_validity"],
  [-(2n ** 63n), "bad_validity"],
];
for (const [seconds, expected] of asked) {
  void test(`asked for ${seconds} s of at most a day: ${expected}`, () => {
    const lifetime = leafTtl(seconds, day);
    assert.equal(lifetime.kind === "ttl" ? lifetime.ttl : lifetime.reason, expected);
  });
}
