/** One row a rule: what is bent, the exact reason, and the detail that shows the rule itself has spoken. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Reason } from "../../../../lib/errors/reasons.ts";
import type { Verification } from "../../../../lib/x509/verify.ts";
import { signatureAlgorithm } from "../../../pki/certificate.ts";
import { bitString, concat, explicit, hex, integer, name, nothing, oid, sequence } from "../../../pki/der-writer.ts";
import { controlPlaneUri, createAuthority, createPki, day, extensions, general, generateKey, hour, oids, projectUri, second, withExtension, withoutExtension } from "../../../pki/pki.ts";
import type { Edit, LeafOptions } from "../../../pki/pki.ts";
import { bundleOf, cart, judge, leafOf, now, pki, theCa } from "./mesh.ts";

type Row = readonly [what: string, reason: Reason, detail: RegExp, changes: () => Partial<Verification>];

const refused = { kind: "refused", code: "DEPTH_ZERO_SELF_SIGNED_CERT" } as const;
const notAsked = { kind: "not-asked" } as const;
const leaf = (options: Partial<LeafOptions>) => () => ({ chain: leafOf(options) });
const edited = (edit: Edit) => leaf({ edit });
const named = (...names: readonly Uint8Array[]) => edited((parts) => withExtension(parts, extensions.subjectAltName(true, ...names)));
const uri = "spiffe://cluster.local/ns/shop/sa/cart";

function table(title: string, rows: readonly Row[]): void {
  suite(title, () => {
    for (const [what, reason, detail, changes] of rows) {
      test(`${what}: ${reason}`, () => {
        const verdict = judge(changes());
        assert.equal(verdict.kind, "refusal");
        if (verdict.kind !== "refusal") return;
        assert.equal(verdict.reason, reason, verdict.detail);
        assert.match(verdict.detail, detail);
      });
    }
  });
}

const padded = extensions.subjectKeyIdentifier(generateKey("p256").publicKey);

table("the chain as sent", [
  ["nothing", "no_certificate", /no chain/, () => ({ chain: [] })],
  ["more than 16 KiB", "chain_too_large", /\d{5} bytes/, edited((parts) => withExtension(parts, { ...padded, value: new Uint8Array(16_000) }))],
  ["the leaf alone", "chain_too_long", /^1 certificates/, () => ({ chain: leafOf().slice(0, 1) })],
  ["a root that is not the bundle's", "chain_too_long", /third certificate/, () => ({ chain: [...leafOf(), pki.controlPlane.der] })],
  ["four certificates", "chain_too_long", /^4 certificates/, () => ({ chain: [...leafOf(), pki.root.der, pki.root.der] })],
  ["self-signed, seen by OpenSSL", "untrusted_chain", /DEPTH_ZERO/, () => ({ chain: pki.selfSigned({ project: "shop" }).chain, openssl: refused })],
  ["self-signed, not seen by OpenSSL", "chain_too_long", /^1 certificates/, () => ({ chain: pki.selfSigned({ project: "shop" }).chain, openssl: notAsked })],
]);

const compressed = (): Partial<Verification> => {
  const point = Buffer.from(generateKey("p256").publicKey.export({ format: "raw-public", type: "compressed" }));
  return edited((parts) => ({ ...parts, spki: sequence(sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), bitString(new Uint8Array(point))) }))();
};

const ed25519Algorithm = signatureAlgorithm({ ...generateKey("ed25519") });

table("the leaf's form", [
  ["v1", "bad_version", /^v1/, edited((parts) => ({ ...parts, version: hex("") }))],
  ["v2", "bad_version", /^v2/, edited((parts) => ({ ...parts, version: explicit(0, integer(1)) }))],
  ["v4", "bad_version", /^v4/, edited((parts) => ({ ...parts, version: explicit(0, integer(3)) }))],
  ["serial 0", "bad_serial", /positive/, edited((parts) => ({ ...parts, serial: integer(0) }))],
  ["negative serial", "bad_serial", /positive/, edited((parts) => ({ ...parts, serial: hex("0201ff") }))],
  ["serial of 21 octets", "bad_serial", /^21 octets/, edited((parts) => ({ ...parts, serial: integer(2n ** 160n) }))],
  ["signed with SHA-1", "bad_algorithm", /^other/, leaf({ digest: "sha1", edit: (parts) => bothAlgorithms(parts, signatureAlgorithm(pki.root.key, "sha1")) })],
  ["inner algorithm SHA-384, outer SHA-256", "bad_algorithm", /differ/, edited((parts) => ({ ...parts, innerAlgorithm: signatureAlgorithm(pki.root.key, "sha384") }))],
  ["outer algorithm with NULL", "bad_algorithm", /differ/, edited((parts) => ({ ...parts, outerAlgorithm: sequence(oid("1.2.840.10045.4.3.2"), nothing()) }))],
  ["RSA with SHA-256", "bad_algorithm", /rsa-sha256/, edited((parts) => bothAlgorithms(parts, signatureAlgorithm(generateKey("rsa"))))],
  ["Ed25519 from a P-256 CA", "bad_algorithm", /another kind/, edited((parts) => bothAlgorithms(parts, ed25519Algorithm))],
  ["P-384 key", "bad_key", /p384/, leaf({ keyType: "p384" })],
  ["RSA key", "bad_key", /rsa 2048/, leaf({ keyType: "rsa" })],
  ["secp256k1 key", "bad_key", /other/, leaf({ keyType: "secp256k1" })],
  ["compressed P-256 point", "bad_key", /other/, compressed],
]);

function bothAlgorithms(parts: Parameters<Edit>[0], algorithm: Uint8Array): ReturnType<Edit> {
  return { ...parts, innerAlgorithm: algorithm, outerAlgorithm: algorithm };
}

const badNames: readonly (readonly [string, string])[] = [
  ["an embedded NUL", "spiffe://cluster.local/ns/shop/sa/cart\0.evil"],
  ["%00", "spiffe://cluster.local/ns/shop/sa/cart%00"],
  ["a second URI smuggled in behind a comma", `spiffe://cluster.local/ns/x/sa/y, URI:${uri}`],
  ["an asterisk", "spiffe://cluster.local/ns/shop/sa/*"],
  ["upper case", "spiffe://cluster.local/ns/SHOP/sa/cart"],
  ["an upper-case scheme", "SPIFFE://cluster.local/ns/shop/sa/cart"],
  ["an ideographic full stop", "spiffe://cluster.local/ns/shop\u00e3\u0080\u0082x/sa/cart"],
  ["a trailing slash", `${uri}/`],
  ["a query", `${uri}?x`],
  ["an empty account", "spiffe://cluster.local/ns/shop/sa/"],
  ["a port", "spiffe://cluster.local:443/ns/shop/sa/cart"],
  ["user information", "spiffe://x@cluster.local/ns/shop/sa/cart"],
  ["dot segments", "spiffe://cluster.local/ns/../ns/shop/sa/cart"],
  ["the form of a project CA", projectUri("cluster.local", "shop")],
  ["another scheme", "https://cluster.local/ns/shop/sa/cart"],
  ["nothing", ""],
];

table("the name", [
  ["no subject alternative name", "bad_subject_alternative_name", /^absent/, edited((parts) => withoutExtension(parts, oids.subjectAltName))],
  ["an empty list of names", "bad_subject_alternative_name", /^0 URIs/, named()],
  ["two URIs, the first good", "bad_subject_alternative_name", /^2 URIs/, named(general.uri(uri), general.uri("spiffe://cluster.local/ns/other/sa/cart"))],
  ["the same URI twice", "bad_subject_alternative_name", /^2 URIs/, named(general.uri(uri), general.uri(uri))],
  ["a DNS name beside the URI", "bad_subject_alternative_name", /beside the URI: dns/, named(general.uri(uri), general.dns("cart.shop.svc"))],
  ["an address beside the URI", "bad_subject_alternative_name", /beside the URI: ip/, named(general.uri(uri), general.ip([10, 0, 0, 1]))],
  ["an e-mail beside the URI", "bad_subject_alternative_name", /beside the URI: email/, named(general.email("a@b"), general.uri(uri))],
  ["a directory name beside the URI", "bad_subject_alternative_name", /beside the URI: directory/, named(general.uri(uri), general.directory("x"))],
  ["a DNS name that holds the text of a SPIFFE ID", "bad_subject_alternative_name", /^0 URIs/, named(general.dns(uri))],
  ["not critical beside an empty subject", "bad_subject_alternative_name", /not critical/, edited((parts) => withExtension(parts, extensions.subjectAltName(false, general.uri(uri))))],
  ["critical beside a subject", "bad_subject_alternative_name", /critical beside a subject/, edited((parts) => ({ ...parts, subject: name("cart") }))],
  ...badNames.map(([what, text]): Row => [`a URI with ${what}`, "bad_subject_alternative_name", /no SPIFFE ID/, named(general.uri(text))]),
]);

const confusable = ["team.a", "team-a-x", "eam-a", "team-aa"];
const teamPki = createPki({ projects: [{ name: "team-a", uid: "1" }, ...confusable.map((text) => ({ name: text, uid: text }))], now });
const teamBundle = bundleOf(teamPki.rawBundle());

table("who is expected", [
  ["another project's own certificate", "identity_mismatch", /another project/, () => ({ chain: pki.issueLeaf({ project: "other" }).chain })],
  ["another project that the bundle does not list", "identity_mismatch", /another project/, () => ({ chain: pki.issueLeaf({ project: "other" }).chain, bundle: bundleOf({ ...pki.rawBundle(), projects: [] }) })],
  ["another trust domain", "identity_mismatch", /trust domain/, leaf({ uri: "spiffe://cluster.loca1/ns/shop/sa/cart" })],
  ["another service account than the dialled pod's", "identity_mismatch", /service account/, () => ({ chain: leafOf({ serviceAccount: "web" }), expected: cart })],
  ["another project than the dialled pod's", "identity_mismatch", /another project/, () => ({ chain: pki.issueLeaf({ project: "other", serviceAccount: "cart" }).chain, expected: cart })],
  ...confusable.map((text): Row => [`${text} where team-a is expected`, "identity_mismatch", /another project/, () => ({
    chain: teamPki.issueLeaf({ project: text }).chain, bundle: teamBundle, expected: { kind: "projects", projects: new Set(["team-a"]) },
  })]),
]);

const stranger = createPki({ projects: [{ name: "shop", uid: "uid-shop" }], now });
const imitation = createAuthority({ commonName: "project shop", uri: projectUri("cluster.local", "shop"), issuer: pki.root, pathLength: 0, excludeNames: true, notBefore: now - hour, notAfter: now + day });

table("the issuer", [
  ["shop's name from other's CA", "wrong_issuer", /does not list/, leaf({ issuer: pki.project("other") })],
  ["shop's name from the control-plane CA", "wrong_issuer", /does not list/, leaf({ issuer: pki.controlPlane })],
  ["shop's name from the root itself", "wrong_issuer", /does not list/, leaf({ issuer: pki.root })],
  ["another CA of shop's name under the same root", "wrong_issuer", /does not list/, leaf({ issuer: imitation })],
  ["a mesh of one's own, seen by OpenSSL", "untrusted_chain", /SELF_SIGNED_CERT_IN_CHAIN/, () => ({ chain: stranger.issueLeaf({ project: "shop" }).chain, openssl: { kind: "refused", code: "SELF_SIGNED_CERT_IN_CHAIN" } })],
  ["a mesh of one's own, not seen by OpenSSL", "wrong_issuer", /does not list/, () => ({ chain: stranger.issueLeaf({ project: "shop" }).chain, openssl: notAsked })],
  ["a project that lost its CA", "wrong_issuer", /does not list/, () => ({ bundle: bundleOf(pki.rawBundle({ projects: [{ name: "shop", uid: "uid-shop", authorities: [] }] })) })],
  ["shop's CA listed for other only", "wrong_issuer", /does not list/, () => ({ bundle: bundleOf({ ...pki.rawBundle(), projects: pki.rawBundle().projects.slice(1) }) })],
  ["shop's CA sent in front of other's leaf, naming shop", "wrong_issuer", /names another issuer/, () => ({ chain: [leafOf({ issuer: pki.project("other") })[0]!, pki.project("shop").der] })],
  ["the CA with one more byte", "wrong_issuer", /does not list/, () => ({ chain: [leafOf()[0]!, concat(pki.project("shop").der, hex("00"))] })],
]);

const fromControlPlane = (options: Partial<LeafOptions>) => () => ({ expected: theCa, chain: pki.issueControlPlane({ project: "tencrypt-ca", serviceAccount: "tencrypt-ca", ...options }).chain });
const controlPlaneLike = { commonName: "control plane", uri: controlPlaneUri("cluster.local"), issuer: pki.root, pathLength: 0, notBefore: now - hour, notAfter: now + day };

table("the control plane", [
  ["a project's CA plays the CA", "wrong_issuer", /bad_subject_alternative_name/, fromControlPlane({ issuer: pki.project("shop") })],
  ["the root itself as issuer", "wrong_issuer", /bad_subject_alternative_name/, fromControlPlane({ issuer: pki.root })],
  ["a CA of the right form under another root", "wrong_issuer", /bad_signature|untrusted_chain/, fromControlPlane({ issuer: stranger.controlPlane })],
  ["a CA without path length", "wrong_issuer", /bad_basic_constraints/, fromControlPlane({ issuer: createAuthority({ ...controlPlaneLike, pathLength: null }) })],
  ["a CA of another trust domain", "wrong_issuer", /bad_subject_alternative_name/, fromControlPlane({ issuer: createAuthority({ ...controlPlaneLike, uri: controlPlaneUri("other.local") }) })],
  ["a CA with a P-384 key", "wrong_issuer", /bad_key/, fromControlPlane({ issuer: createAuthority({ ...controlPlaneLike, keyType: "p384" }) })],
  ["a CA that names the root but was signed by a project's CA", "wrong_issuer", /bad_signature/, fromControlPlane({ issuer: createAuthority({ ...controlPlaneLike, issuer: { ...pki.project("shop"), subject: pki.root.subject } }) })],
  ["a CA that a project's CA made", "wrong_issuer", /untrusted_chain/, fromControlPlane({ issuer: createAuthority({ ...controlPlaneLike, issuer: pki.project("shop") }) })],
  ["a CA that has ended", "expired", /the CA until/, fromControlPlane({ issuer: createAuthority({ ...controlPlaneLike, notAfter: now - second }) })],
  ["the controller where the CA is expected", "identity_mismatch", /another project/, fromControlPlane({ project: "tencrypt-system", serviceAccount: "tencrypt-controller" })],
  ["an e-mail beside the URI", "bad_subject_alternative_name", /email/, fromControlPlane({ names: [general.email("a@b")] })],
  ["two URIs", "bad_subject_alternative_name", /^2 URIs/, fromControlPlane({ names: [general.uri(uri)] })],
]);

const endedRoot = createAuthority({ commonName: "ended root", uri: null, issuer: null, notBefore: now - day, notAfter: now });
const outlivesRoot = createAuthority({ commonName: "project shop", uri: projectUri("cluster.local", "shop"), issuer: endedRoot, pathLength: 0, excludeNames: true, notBefore: now - day, notAfter: now + day });
const agedCa = createAuthority({ commonName: "project shop", uri: projectUri("cluster.local", "shop"), issuer: pki.root, pathLength: 0, excludeNames: true, notBefore: now - day, notAfter: now });
const earlyCa = createAuthority({ commonName: "project shop", uri: projectUri("cluster.local", "shop"), issuer: pki.root, pathLength: 0, excludeNames: true, notBefore: now + second, notAfter: now + day });
const listed = (authority: Uint8Array) => pki.rawBundle({ projects: [{ name: "shop", uid: "uid-shop", authorities: [authority] }] });

table("the times", [
  ["a leaf that begins in a second", "not_yet_valid", /the leaf from 2026-06-15T12:00:01/, leaf({ notBefore: now + second })],
  ["a leaf at its last moment", "expired", /the leaf until 2026-06-15T12:00:00/, leaf({ notBefore: now - hour, notAfter: now })],
  ["a leaf that ended long ago", "expired", /the leaf until/, leaf({ notBefore: now - 2 * day, notAfter: now - day })],
  ["a leaf that ends before it begins", "expired", /the leaf until/, leaf({ notBefore: now - hour, notAfter: now - 2 * hour })],
  ["a clock that is no number", "not_yet_valid", /the leaf from/, () => ({ now: NaN })],
  ["a CA at its last moment", "expired", /the CA until/, () => ({ chain: leafOf({ issuer: agedCa }), bundle: bundleOf(listed(agedCa.der)) })],
  ["a CA that begins in a second", "not_yet_valid", /the CA from/, () => ({ chain: leafOf({ issuer: earlyCa }), bundle: bundleOf(listed(earlyCa.der)) })],
  ["a root that has ended", "expired", /the root until/, () => ({ chain: leafOf({ issuer: outlivesRoot }), bundle: bundleOf({ ...listed(outlivesRoot.der), roots: [endedRoot.der] }) })],
  ["a lifetime of a second too much", "lifetime_too_long", /^172801 s/, leaf({ notBefore: now - hour, notAfter: now - hour + 2 * day + second })],
]);

const extended = (extension: Parameters<typeof withExtension>[1]) => edited((parts) => withExtension(parts, extension));
const without = (oid: string) => edited((parts) => withoutExtension(parts, oid));

table("the extensions", [
  ["an unknown critical one", "unknown_critical_extension", /^1\.2\.3\.4/, extended({ oid: "1.2.3.4", critical: true, value: nothing() })],
  ["critical name constraints", "unknown_critical_extension", /^2\.5\.29\.30/, extended(extensions.excludeDnsAndIp())],
  ["a critical PodIdentity", "unknown_critical_extension", /57683\.1$/, extended(extensions.podIdentity(["shop", "uid-shop", "cart", "", "cart-1", "u", "", ""], true))],
  ["no BasicConstraints", "bad_basic_constraints", /^absent/, without(oids.basicConstraints)],
  ["CA:TRUE", "bad_basic_constraints", /^CA/, extended(extensions.basicConstraints(true))],
  ["a path length without CA", "bad_basic_constraints", /path length/, extended(extensions.basicConstraints(false, 0))],
  ["no KeyUsage", "bad_key_usage", /^absent/, without(oids.keyUsage)],
  ["KeyUsage with keyEncipherment as well", "bad_key_usage", /bits 101$/, extended(extensions.keyUsage(0, 2))],
  ["KeyUsage with keyCertSign only", "bad_key_usage", /bits 100000$/, extended(extensions.keyUsage(5))],
  ["KeyUsage without a bit", "bad_key_usage", /bits 0$/, extended(extensions.keyUsage())],
  ["no ExtendedKeyUsage", "bad_extended_key_usage", /^absent/, without(oids.extendedKeyUsage)],
  ["ExtendedKeyUsage clientAuth alone", "bad_extended_key_usage", /3\.2$/, extended(extensions.extendedKeyUsage(oids.clientAuth))],
  ["ExtendedKeyUsage serverAuth alone", "bad_extended_key_usage", /3\.1$/, extended(extensions.extendedKeyUsage(oids.serverAuth))],
  ["ExtendedKeyUsage serverAuth twice", "bad_extended_key_usage", /3\.1, .*3\.1$/, extended(extensions.extendedKeyUsage(oids.serverAuth, oids.serverAuth))],
  ["ExtendedKeyUsage with codeSigning as well", "bad_extended_key_usage", /3\.3$/, extended(extensions.extendedKeyUsage(oids.serverAuth, oids.clientAuth, oids.codeSigning))],
  ["ExtendedKeyUsage any", "bad_extended_key_usage", /37\.0$/, extended(extensions.extendedKeyUsage("2.5.29.37.0"))],
]);

const [goodLeaf, goodCa] = leafOf();

table("signature and OpenSSL", [
  ["signed by another key in shop's CA's name", "bad_signature", /not by/, leaf({ signer: generateKey("p256") })],
  ["signed by the leaf's own key", "bad_signature", /not by/, () => { const key = generateKey("p256"); return { chain: leafOf({ key, signer: key }) }; }],
  ["an empty signature", "bad_signature", /not by/, edited((parts) => ({ ...parts, editSignature: () => hex("") }))],
  ["r and s zero", "bad_signature", /not by/, edited((parts) => ({ ...parts, editSignature: () => sequence(integer(0), integer(0)) }))],
  ["a byte after the signature", "bad_signature", /not by/, edited((parts) => ({ ...parts, editSignature: (bytes) => concat(bytes, hex("00")) }))],
  ["signed with SHA-384, said to be SHA-256", "bad_signature", /not by/, leaf({ digest: "sha384" })],
  ["OpenSSL refuses", "untrusted_chain", /CERT_REVOKED/, () => ({ openssl: { kind: "refused", code: "CERT_REVOKED" } })],
  ["OpenSSL says expired", "expired", /CERT_HAS_EXPIRED/, () => ({ openssl: { kind: "refused", code: "CERT_HAS_EXPIRED" } })],
  ["OpenSSL says too early", "not_yet_valid", /CERT_NOT_YET_VALID/, () => ({ openssl: { kind: "refused", code: "CERT_NOT_YET_VALID" } })],
  ["a code of OpenSSL's that names a property of objects", "untrusted_chain", /constructor/, () => ({ chain: [goodLeaf!, goodCa!], openssl: { kind: "refused", code: "constructor" } })],
]);

const texts = ["shop", "uid-shop", "cart", "", "cart-1", "uid-of-cart-1", "", ""] as const;
const withText = (index: number, text: string) => leaf({ podIdentity: texts.map((each, at) => (at === index ? text : each)) });

table("the pod", [
  ["no PodIdentity", "no_pod_identity", /no PodIdentity/, leaf({ podIdentity: null })],
  ["no pod uid", "no_pod_identity", /no pod uid/, withText(5, "")],
  ["no namespace uid", "no_pod_identity", /no namespace uid/, withText(1, "")],
  ["another namespace than the name", "identity_mismatch", /another namespace/, withText(0, "other")],
  ["another service account than the name", "identity_mismatch", /another service account/, withText(2, "web")],
  ["the uid of an earlier namespace", "wrong_namespace_uid", /uid-earlier/, withText(1, "uid-earlier")],
  ["a revoked pod", "pod_denied", /uid-of-cart-1/, () => ({ bundle: bundleOf(pki.rawBundle({ denied: ["uid-of-cart-1"] })) })],
  ["another pod of the same account", "wrong_pod", /uid-of-cart-2 instead of uid-of-cart-1/, () => ({ chain: leafOf({ pod: "cart-2" }), expected: cart })],
]);

test("the claimed name is told with the refusal, and no longer than 256 octets", () => {
  const verdict = judge({ chain: leafOf({ uri: `spiffe://cluster.local/${"x".repeat(1000)}` }) });
  assert.equal(verdict.kind === "refusal" ? verdict.claimed?.length : null, 256);
  const other = judge({ chain: pki.issueLeaf({ project: "other" }).chain });
  assert.equal(other.kind === "refusal" ? other.claimed : null, "spiffe://cluster.local/ns/other/sa/default");
});

