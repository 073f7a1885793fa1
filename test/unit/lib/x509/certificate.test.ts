/** The parser against two readers that are not ours: crypto.X509Certificate and the openssl program. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseCertificate } from "../../../../lib/x509/certificate.ts";
import type { Certificate } from "../../../../lib/x509/certificate.ts";
import { createPki, day, general, hour } from "../../../pki/pki.ts";
import type { KeyType } from "../../../pki/pki.ts";

const now = Date.now();

function parsed(der: Uint8Array): Certificate {
  const result = parseCertificate(der);
  assert.equal(result.kind, "decoded", result.kind === "malformed" ? result.what : "");
  return result.value;
}

const meshes = (["p256", "p384", "ed25519", "rsa"] as const satisfies readonly KeyType[]).map((rootKeyType) =>
  createPki({
    projects: [{ name: "shop", uid: "uid-shop" }],
    rootKeyType,
    authorityKeyType: rootKeyType === "ed25519" ? "ed25519" : "p256",
    now,
  }),
);

const specimens: readonly (readonly [string, Uint8Array])[] = meshes.flatMap((mesh, index) => [
  [`root ${index}`, mesh.root.der],
  [`control-plane CA ${index}`, mesh.controlPlane.der],
  [`project CA ${index}`, mesh.project("shop").der],
  [`leaf ${index}`, mesh.issueLeaf({ project: "shop", serviceAccount: "cart" }).der],
  [`leaf with an Ed25519 key ${index}`, mesh.issueLeaf({ project: "shop", keyType: "ed25519" }).der],
  [`leaf with an RSA key ${index}`, mesh.issueLeaf({ project: "shop", keyType: "rsa" }).der],
  [`leaf beyond 2050 ${index}`, mesh.issueLeaf({ project: "shop", notAfter: Date.UTC(2051, 1, 28, 23, 59, 59) }).der],
  [
    `control plane's leaf ${index}`,
    mesh.issueControlPlane({ project: "tencrypt-ca", names: [general.dns("ca.local"), general.ip([10, 1, 2, 3])] }).der,
  ],
]);

const serialOf = (certificate: Certificate): string => Buffer.from(certificate.serial).toString("hex").toUpperCase();

for (const [what, der] of specimens) {
  test(`${what} reads as X509Certificate reads it`, () => {
    const ours = parsed(der);
    const theirs = new X509Certificate(der);
    assert.equal(serialOf(ours), theirs.serialNumber);
    assert.equal(ours.notBefore, theirs.validFromDate.getTime());
    assert.equal(ours.notAfter, theirs.validToDate.getTime());
    assert.equal(ours.basicConstraints?.ca ?? false, theirs.ca);
    assert.deepEqual(Buffer.from(ours.key.der), theirs.publicKey.export({ type: "spki", format: "der" }));
    assert.deepEqual(ours.extendedKeyUsage ?? [], theirs.keyUsage ?? []);
    assert.equal(
      ours.names?.filter((name) => name.kind === "uri").map((name) => `URI:${name.text}`)[0],
      theirs.subjectAltName?.split(", ")[0],
    );
    assert.equal(ours.subjectEmpty, theirs.subject === undefined || theirs.subject === "");
  });
}

const openssl = spawnSync("openssl", ["version"]).status === 0;
const skip = openssl ? false : "the openssl program is not installed";

test("openssl reads the same numbers, times and names", { skip }, () => {
  for (const [what, der] of specimens) {
    const ours = parsed(der);
    const text = execFileSync(
      "openssl",
      ["x509", "-inform", "DER", "-noout", "-serial", "-dates", "-ext", "subjectAltName,keyUsage,basicConstraints"],
      { input: der, stdio: ["pipe", "pipe", "ignore"] },
    ).toString();
    assert.equal(/serial=(\w+)/.exec(text)?.[1], serialOf(ours), what);
    assert.equal(Date.parse(/notBefore=(.*)/.exec(text)![1]!), ours.notBefore, what);
    assert.equal(Date.parse(/notAfter=(.*)/.exec(text)![1]!), ours.notAfter, what);
    assert.equal(/URI:(\S+?),?\s/.exec(text)?.[1], ours.names?.find((name) => name.kind === "uri")?.text, what);
    assert.equal(text.includes("Digital Signature"), ours.keyUsage === 1, what);
    assert.equal(/pathlen:(\d+)/.exec(text)?.[1], ours.basicConstraints?.pathLength?.toString(), what);
  }
});

test("openssl verifies the good chains strictly, so what we accept is no special taste", { skip }, (context) => {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-pki-"));
  context.after(() => rmSync(folder, { recursive: true }));
  for (const mesh of meshes) {
    const leaf = mesh.issueLeaf({
      project: "shop",
      serviceAccount: "cart",
      notBefore: now - hour,
      notAfter: now + day,
    });
    for (const [file, pem] of [
      ["root", mesh.root.pem],
      ["ca", mesh.project("shop").pem],
      ["leaf", leaf.pem],
    ] as const)
      writeFileSync(join(folder, file), pem);
    const result = spawnSync("openssl", ["verify", "-x509_strict", "-CAfile", "root", "-untrusted", "ca", "leaf"], {
      cwd: folder,
    });
    assert.equal(result.stdout.toString(), "leaf: OK\n", result.stderr.toString());
  }
});
