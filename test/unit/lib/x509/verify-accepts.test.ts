/** What is accepted, so that strictness does not shut out what the design allows; and what the verdict says then. */
import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { test } from "node:test";
import type { Verification } from "../../../../lib/x509/verify.ts";
import { name, nothing } from "../../../pki/der-writer.ts";
import {
  createAuthority,
  createPki,
  day,
  extensions,
  general,
  generateKey,
  hour,
  minute,
  oids,
  projectUri,
  second,
  withExtension,
} from "../../../pki/pki.ts";
import type { KeyType, LeafOptions } from "../../../pki/pki.ts";
import { bundleOf, cart, judge, leafOf, now, pki, theCa } from "./mesh.ts";

const uri = "spiffe://cluster.local/ns/shop/sa/cart";
const accepted = (changes: Partial<Verification>): void => {
  const verdict = judge(changes);
  assert.equal(verdict.kind, "peer", verdict.kind === "refusal" ? `${verdict.reason}: ${verdict.detail}` : "");
};

test("the peer is told with everything that its leaf says", () => {
  const key = generateKey("p256");
  const verdict = judge({ chain: leafOf({ key }), expected: cart });
  assert.equal(verdict.kind, "peer");
  if (verdict.kind !== "peer") return;
  assert.deepEqual(verdict.id, { trustDomain: "cluster.local", project: "shop", serviceAccount: "cart" });
  assert.equal(verdict.uri, uri);
  assert.deepEqual(verdict.pod, {
    namespace: "shop",
    namespaceUid: "uid-shop",
    serviceAccount: "cart",
    serviceAccountUid: "",
    pod: "cart-1",
    podUid: "uid-of-cart-1",
    node: "",
    nodeUid: "",
  });
  assert.match(verdict.serial, /^10[0-9a-f]{2}$/);
  assert.equal(verdict.notBefore, now - minute);
  assert.equal(verdict.notAfter, now - minute + day);
  assert.deepEqual(verdict.issuer, pki.project("shop").der);
  assert.ok(
    createPublicKey({ key: Buffer.from(verdict.publicKey), format: "der", type: "spki" }).equals(key.publicKey),
  );
});

test("the root may be sent as last", () => accepted({ chain: [...leafOf(), pki.root.der] }));
test("no handshake, no verdict of OpenSSL's: our own checks stand alone", () =>
  accepted({ openssl: { kind: "not-asked" } }));

for (const rootKeyType of ["p256", "p384", "ed25519", "rsa"] as const satisfies readonly KeyType[]) {
  for (const authorityKeyType of ["p256", "ed25519"] as const) {
    test(`a root with ${rootKeyType}, a project CA with ${authorityKeyType}`, () => {
      const mesh = createPki({ projects: [{ name: "shop", uid: "uid-shop" }], rootKeyType, authorityKeyType, now });
      accepted({
        chain: mesh.issueLeaf({ project: "shop", keyType: authorityKeyType }).chain,
        bundle: bundleOf(mesh.rawBundle()),
      });
    });
  }
}

const good: readonly (readonly [string, Partial<LeafOptions>])[] = [
  ["Ed25519 in a leaf of a P-256 CA", { keyType: "ed25519" }],
  ["a lifetime of exactly the most", { notBefore: now - hour, notAfter: now - hour + 2 * day }],
  ["a leaf from its first moment on", { notBefore: now }],
  ["a leaf until just before its last moment", { notBefore: now - hour, notAfter: now + second }],
  [
    "a serial of 20 octets",
    { edit: (parts) => ({ ...parts, serial: Uint8Array.of(0x02, 20, 0x7f, ...new Uint8Array(19).fill(0xff)) }) },
  ],
  ["a PodIdentity that knows only both uids", { podIdentity: ["", "uid-shop", "", "", "", "uid-of-cart-1", "", ""] }],
  [
    "an unknown extension that is not critical",
    { edit: (parts) => withExtension(parts, { oid: "1.2.3.4", critical: false, value: nothing() }) },
  ],
  [
    "a subject, the name then not critical",
    {
      edit: (parts) => ({
        ...withExtension(parts, extensions.subjectAltName(false, general.uri(uri))),
        subject: name("cart"),
      }),
    },
  ],
  [
    "KeyUsage and BasicConstraints that are not critical",
    {
      edit: (parts) =>
        [extensions.keyUsage(0), extensions.basicConstraints(false)].reduce(
          (sum, each) => withExtension(sum, { ...each, critical: false }),
          parts,
        ),
    },
  ],
  [
    "both purposes the other way round, critical",
    {
      edit: (parts) =>
        withExtension(parts, { ...extensions.extendedKeyUsage(oids.clientAuth, oids.serverAuth), critical: true }),
    },
  ],
];
for (const [what, options] of good) test(what, () => accepted({ chain: leafOf(options), expected: cart }));

test("a leaf of the year 2050, in GeneralizedTime", () => {
  const then = Date.UTC(2050, 0, 2);
  const mesh = createPki({ projects: [{ name: "shop", uid: "uid-shop" }], now: then });
  accepted({ chain: mesh.issueLeaf({ project: "shop" }).chain, bundle: bundleOf(mesh.rawBundle()), now: then });
});

test("two CAs of one project while one replaces the other", () => {
  const next = createAuthority({
    commonName: "project shop",
    uri: projectUri("cluster.local", "shop"),
    issuer: pki.root,
    pathLength: 0,
    excludeNames: true,
    notBefore: now - hour,
    notAfter: now + 30 * day,
  });
  const bundle = bundleOf(
    pki.rawBundle({ projects: [{ name: "shop", uid: "uid-shop", authorities: [pki.project("shop").der, next.der] }] }),
  );
  accepted({ bundle });
  accepted({ bundle, chain: leafOf({ issuer: next }) });
});

test("two roots of one name while one replaces the other", () => {
  const old = createAuthority({
    commonName: "test root",
    uri: null,
    issuer: null,
    notBefore: now - hour,
    notAfter: now + day,
  });
  accepted({ bundle: bundleOf(pki.rawBundle({ roots: [old.der, pki.root.der] })) });
});

for (const order of ["first", "last"] as const)
  test(`a root that was renewed with its key, the certificate that has ended ${order}`, () => {
    const ended = createAuthority({
      commonName: pki.root.commonName,
      uri: null,
      issuer: null,
      key: pki.root.key,
      notBefore: now - 2 * day,
      notAfter: now - day,
    });
    const roots = [ended.der, pki.root.der];
    accepted({ bundle: bundleOf(pki.rawBundle({ roots: order === "first" ? roots : roots.toReversed() })) });
  });

test("a peer is believed until the first of leaf, CA and root ends", () => {
  const end = now + 10 * minute;
  const brief = createAuthority({
    commonName: "brief",
    uri: projectUri("cluster.local", "shop"),
    issuer: pki.root,
    pathLength: 0,
    excludeNames: true,
    notBefore: now - hour,
    notAfter: end,
  });
  const bundle = bundleOf(pki.rawBundle({ projects: [{ name: "shop", uid: "uid-shop", authorities: [brief.der] }] }));
  const verdict = judge({ chain: leafOf({ issuer: brief }), bundle });
  assert.equal(verdict.kind === "peer" ? verdict.notAfter : 0, end);
});

const controlPlane: readonly (readonly [string, readonly Uint8Array[]])[] = [
  ["the CA, before any project is known", []],
  [
    "the CA with the names that other agents dial it by",
    [general.dns("tencrypt-ca.tencrypt-ca.svc"), general.ip([10, 0, 0, 1])],
  ],
];
for (const [what, names] of controlPlane) {
  test(what, () => {
    const { chain } = pki.issueControlPlane({ project: "tencrypt-ca", serviceAccount: "tencrypt-ca", names });
    const verdict = judge({ chain, expected: theCa, bundle: bundleOf(pki.rawBundle({ projects: [] })) });
    assert.equal(verdict.kind, "peer", verdict.kind === "refusal" ? `${verdict.reason}: ${verdict.detail}` : "");
    assert.equal(verdict.kind === "peer" && verdict.issuer === null && verdict.pod === null, true);
  });
}

test("anybody of a project and its peers, whatever the service account", () => {
  const expected = { kind: "projects", projects: new Set(["shop", "other"]) } as const;
  accepted({ expected, chain: leafOf({ serviceAccount: "web" }) });
  accepted({ expected, chain: pki.issueLeaf({ project: "other" }).chain });
});
