/** Whom a well-formed leaf does not make a peer: one row a rule. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { concat, hex, integer, sequence } from "../../../pki/der-writer.ts";
import {
  controlPlaneUri,
  createAuthority,
  createPki,
  day,
  general,
  generateKey,
  hour,
  projectUri,
  second,
} from "../../../pki/pki.ts";
import type { LeafOptions } from "../../../pki/pki.ts";
import { bundleOf, cart, edited, judge, leaf, leafOf, now, pki, refusals, theCa, uri } from "./mesh.ts";
import type { Row } from "./mesh.ts";

const notAsked = { kind: "not-asked" } as const;

const confusable = ["team.a", "team-a-x", "eam-a", "team-aa"];
const teamPki = createPki({
  projects: [{ name: "team-a", uid: "1" }, ...confusable.map((text) => ({ name: text, uid: text }))],
  now,
});
const teamBundle = bundleOf(teamPki.rawBundle());

refusals("who is expected", [
  [
    "another project's own certificate",
    "identity_mismatch",
    /another project/,
    () => ({ chain: pki.issueLeaf({ project: "other" }).chain }),
  ],
  [
    "another project that the bundle does not list",
    "identity_mismatch",
    /another project/,
    () => ({
      chain: pki.issueLeaf({ project: "other" }).chain,
      bundle: bundleOf({ ...pki.rawBundle(), projects: [] }),
    }),
  ],
  [
    "another trust domain",
    "identity_mismatch",
    /trust domain/,
    leaf({ uri: "spiffe://cluster.loca1/ns/shop/sa/cart" }),
  ],
  [
    "another service account than the dialled pod's",
    "identity_mismatch",
    /service account/,
    () => ({ chain: leafOf({ serviceAccount: "web" }), expected: cart }),
  ],
  [
    "another project than the dialled pod's",
    "identity_mismatch",
    /another project/,
    () => ({ chain: pki.issueLeaf({ project: "other", serviceAccount: "cart" }).chain, expected: cart }),
  ],
  ...confusable.map((text): Row => [
    `${text} where team-a is expected`,
    "identity_mismatch",
    /another project/,
    () => ({
      chain: teamPki.issueLeaf({ project: text }).chain,
      bundle: teamBundle,
      expected: { kind: "projects", projects: new Set(["team-a"]) },
    }),
  ]),
]);

const stranger = createPki({ projects: [{ name: "shop", uid: "uid-shop" }], now });
const imitation = createAuthority({
  commonName: "project shop",
  uri: projectUri("cluster.local", "shop"),
  issuer: pki.root,
  pathLength: 0,
  excludeNames: true,
  notBefore: now - hour,
  notAfter: now + day,
});

refusals("the issuer", [
  ["shop's name from other's CA", "wrong_issuer", /does not list/, leaf({ issuer: pki.project("other") })],
  ["shop's name from the control-plane CA", "wrong_issuer", /does not list/, leaf({ issuer: pki.controlPlane })],
  ["shop's name from the root itself", "wrong_issuer", /does not list/, leaf({ issuer: pki.root })],
  ["another CA of shop's name under the same root", "wrong_issuer", /does not list/, leaf({ issuer: imitation })],
  [
    "a mesh of one's own, seen by OpenSSL",
    "untrusted_chain",
    /SELF_SIGNED_CERT_IN_CHAIN/,
    () => ({
      chain: stranger.issueLeaf({ project: "shop" }).chain,
      openssl: { kind: "refused", code: "SELF_SIGNED_CERT_IN_CHAIN" },
    }),
  ],
  [
    "a mesh of one's own that names another project, seen by OpenSSL",
    "untrusted_chain",
    /SELF_SIGNED_CERT_IN_CHAIN/,
    () => ({
      chain: stranger.issueLeaf({ project: "shop", uri: "spiffe://cluster.local/ns/other/sa/cart" }).chain,
      openssl: { kind: "refused", code: "SELF_SIGNED_CERT_IN_CHAIN" },
    }),
  ],
  [
    "a mesh of one's own, not seen by OpenSSL",
    "wrong_issuer",
    /does not list/,
    () => ({ chain: stranger.issueLeaf({ project: "shop" }).chain, openssl: notAsked }),
  ],
  [
    "a project that lost its CA",
    "wrong_issuer",
    /does not list/,
    () => ({ bundle: bundleOf(pki.rawBundle({ projects: [{ name: "shop", uid: "uid-shop", authorities: [] }] })) }),
  ],
  [
    "shop's CA listed for other only",
    "wrong_issuer",
    /does not list/,
    () => ({ bundle: bundleOf({ ...pki.rawBundle(), projects: pki.rawBundle().projects.slice(1) }) }),
  ],
  [
    "shop's CA sent in front of other's leaf, naming shop",
    "wrong_issuer",
    /names another issuer/,
    () => ({ chain: [leafOf({ issuer: pki.project("other") })[0]!, pki.project("shop").der] }),
  ],
  [
    "the CA with one more byte",
    "wrong_issuer",
    /does not list/,
    () => ({ chain: [leafOf()[0]!, concat(pki.project("shop").der, hex("00"))] }),
  ],
]);

const fromControlPlane = (options: Partial<LeafOptions>) => () => ({
  expected: theCa,
  chain: pki.issueControlPlane({ project: "tencrypt-ca", serviceAccount: "tencrypt-ca", ...options }).chain,
});
const controlPlaneLike = {
  commonName: "control plane",
  uri: controlPlaneUri("cluster.local"),
  issuer: pki.root,
  pathLength: 0,
  notBefore: now - hour,
  notAfter: now + day,
};

refusals("the control plane", [
  [
    "a project's CA plays the CA",
    "wrong_issuer",
    /bad_subject_alternative_name/,
    fromControlPlane({ issuer: pki.project("shop") }),
  ],
  ["the root itself as issuer", "wrong_issuer", /bad_subject_alternative_name/, fromControlPlane({ issuer: pki.root })],
  [
    "a CA of the right form under another root",
    "wrong_issuer",
    /bad_signature|untrusted_chain/,
    fromControlPlane({ issuer: stranger.controlPlane }),
  ],
  [
    "a CA without path length",
    "wrong_issuer",
    /bad_basic_constraints/,
    fromControlPlane({ issuer: createAuthority({ ...controlPlaneLike, pathLength: null }) }),
  ],
  [
    "a CA of another trust domain",
    "wrong_issuer",
    /bad_subject_alternative_name/,
    fromControlPlane({ issuer: createAuthority({ ...controlPlaneLike, uri: controlPlaneUri("other.local") }) }),
  ],
  [
    "a CA with a P-384 key",
    "wrong_issuer",
    /bad_key/,
    fromControlPlane({ issuer: createAuthority({ ...controlPlaneLike, keyType: "p384" }) }),
  ],
  [
    "a CA that names the root but was signed by a project's CA",
    "wrong_issuer",
    /bad_signature/,
    fromControlPlane({
      issuer: createAuthority({ ...controlPlaneLike, issuer: { ...pki.project("shop"), subject: pki.root.subject } }),
    }),
  ],
  [
    "a CA that a project's CA made",
    "wrong_issuer",
    /untrusted_chain/,
    fromControlPlane({ issuer: createAuthority({ ...controlPlaneLike, issuer: pki.project("shop") }) }),
  ],
  [
    "a CA that has ended",
    "expired",
    /the CA until/,
    fromControlPlane({ issuer: createAuthority({ ...controlPlaneLike, notAfter: now - second }) }),
  ],
  [
    "the controller where the CA is expected",
    "identity_mismatch",
    /another project/,
    fromControlPlane({ project: "tencrypt-system", serviceAccount: "tencrypt-controller" }),
  ],
  [
    "an e-mail beside the URI",
    "bad_subject_alternative_name",
    /email/,
    fromControlPlane({ names: [general.email("a@b")] }),
  ],
  ["two URIs", "bad_subject_alternative_name", /^2 URIs/, fromControlPlane({ names: [general.uri(uri)] })],
]);

const endedRoot = createAuthority({
  commonName: "ended root",
  uri: null,
  issuer: null,
  notBefore: now - day,
  notAfter: now,
});
const outlivesRoot = createAuthority({
  commonName: "project shop",
  uri: projectUri("cluster.local", "shop"),
  issuer: endedRoot,
  pathLength: 0,
  excludeNames: true,
  notBefore: now - day,
  notAfter: now + day,
});
const agedCa = createAuthority({
  commonName: "project shop",
  uri: projectUri("cluster.local", "shop"),
  issuer: pki.root,
  pathLength: 0,
  excludeNames: true,
  notBefore: now - day,
  notAfter: now,
});
const earlyCa = createAuthority({
  commonName: "project shop",
  uri: projectUri("cluster.local", "shop"),
  issuer: pki.root,
  pathLength: 0,
  excludeNames: true,
  notBefore: now + second,
  notAfter: now + day,
});
const listed = (authority: Uint8Array) =>
  pki.rawBundle({ projects: [{ name: "shop", uid: "uid-shop", authorities: [authority] }] });

refusals("the times", [
  [
    "a leaf that begins in a second",
    "not_yet_valid",
    /the leaf from 2026-06-15T12:00:01/,
    leaf({ notBefore: now + second }),
  ],
  [
    "a leaf at its last moment",
    "expired",
    /the leaf until 2026-06-15T12:00:00/,
    leaf({ notBefore: now - hour, notAfter: now }),
  ],
  ["a leaf that ended long ago", "expired", /the leaf until/, leaf({ notBefore: now - 2 * day, notAfter: now - day })],
  [
    "a leaf that ends before it begins",
    "expired",
    /the leaf until/,
    leaf({ notBefore: now - hour, notAfter: now - 2 * hour }),
  ],
  ["a clock that is no number", "not_yet_valid", /the leaf from/, () => ({ now: NaN })],
  [
    "a CA at its last moment",
    "expired",
    /the CA until/,
    () => ({ chain: leafOf({ issuer: agedCa }), bundle: bundleOf(listed(agedCa.der)) }),
  ],
  [
    "a CA that begins in a second",
    "not_yet_valid",
    /the CA from/,
    () => ({ chain: leafOf({ issuer: earlyCa }), bundle: bundleOf(listed(earlyCa.der)) }),
  ],
  [
    "a root that has ended",
    "expired",
    /the root until/,
    () => ({
      chain: leafOf({ issuer: outlivesRoot }),
      bundle: bundleOf({ ...listed(outlivesRoot.der), roots: [endedRoot.der] }),
    }),
  ],
  [
    "a lifetime of a second too much",
    "lifetime_too_long",
    /^172801 s/,
    leaf({ notBefore: now - hour, notAfter: now - hour + 2 * day + second }),
  ],
]);

const [goodLeaf, goodCa] = leafOf();

refusals("signature and OpenSSL", [
  ["signed by another key in shop's CA's name", "bad_signature", /not by/, leaf({ signer: generateKey("p256") })],
  [
    "signed by the leaf's own key",
    "bad_signature",
    /not by/,
    () => {
      const key = generateKey("p256");
      return { chain: leafOf({ key, signer: key }) };
    },
  ],
  ["an empty signature", "bad_signature", /not by/, edited((parts) => ({ ...parts, editSignature: () => hex("") }))],
  [
    "r and s zero",
    "bad_signature",
    /not by/,
    edited((parts) => ({ ...parts, editSignature: () => sequence(integer(0), integer(0)) })),
  ],
  [
    "a byte after the signature",
    "bad_signature",
    /not by/,
    edited((parts) => ({ ...parts, editSignature: (bytes) => concat(bytes, hex("00")) })),
  ],
  ["signed with SHA-384, said to be SHA-256", "bad_signature", /not by/, leaf({ digest: "sha384" })],
  [
    "OpenSSL refuses",
    "untrusted_chain",
    /CERT_REVOKED/,
    () => ({ openssl: { kind: "refused", code: "CERT_REVOKED" } }),
  ],
  [
    "OpenSSL says expired",
    "expired",
    /CERT_HAS_EXPIRED/,
    () => ({ openssl: { kind: "refused", code: "CERT_HAS_EXPIRED" } }),
  ],
  [
    "OpenSSL says too early",
    "not_yet_valid",
    /CERT_NOT_YET_VALID/,
    () => ({ openssl: { kind: "refused", code: "CERT_NOT_YET_VALID" } }),
  ],
  [
    "a code of OpenSSL's that names a property of objects",
    "untrusted_chain",
    /constructor/,
    () => ({ chain: [goodLeaf!, goodCa!], openssl: { kind: "refused", code: "constructor" } }),
  ],
]);

const texts = ["shop", "uid-shop", "cart", "", "cart-1", "uid-of-cart-1", "", ""] as const;
const withText = (index: number, text: string) =>
  leaf({ podIdentity: texts.map((each, at) => (at === index ? text : each)) });

refusals("the pod", [
  ["no PodIdentity", "no_pod_identity", /no PodIdentity/, leaf({ podIdentity: null })],
  ["no pod uid", "no_pod_identity", /no pod uid/, withText(5, "")],
  ["no namespace uid", "no_pod_identity", /no namespace uid/, withText(1, "")],
  ["another namespace than the name", "identity_mismatch", /another namespace/, withText(0, "other")],
  ["another service account than the name", "identity_mismatch", /another service account/, withText(2, "web")],
  ["the uid of an earlier namespace", "wrong_namespace_uid", /uid-earlier/, withText(1, "uid-earlier")],
  [
    "a revoked pod",
    "pod_denied",
    /uid-of-cart-1/,
    () => ({ bundle: bundleOf(pki.rawBundle({ denied: ["uid-of-cart-1"] })) }),
  ],
  [
    "another pod of the same account",
    "wrong_pod",
    /uid-of-cart-2 instead of uid-of-cart-1/,
    () => ({ chain: leafOf({ pod: "cart-2" }), expected: cart }),
  ],
]);

test("the claimed name is told with the refusal, and no longer than 256 octets", () => {
  const verdict = judge({ chain: leafOf({ uri: `spiffe://cluster.local/${"x".repeat(1000)}` }) });
  assert.equal(verdict.kind === "refusal" ? verdict.claimed?.length : null, 256);
  const other = judge({ chain: pki.issueLeaf({ project: "other" }).chain });
  assert.equal(other.kind === "refusal" ? other.claimed : null, "spiffe://cluster.local/ns/other/sa/default");
});
