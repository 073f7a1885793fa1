/** What a bundle takes in: one row a rule of the profile of roots and project CAs. */
import assert from "node:assert/strict";
import { createHash, createPublicKey } from "node:crypto";
import { suite, test } from "node:test";
import { loadBundle, matchesPins, pinOf } from "../../../../lib/trust/bundle.ts";
import type { BundleParts, LoadedBundle } from "../../../../lib/trust/bundle.ts";
import { bitString, explicit, hex, implicit, integer, name, nothing, sequence, tlv } from "../../../pki/der-writer.ts";
import {
  controlPlaneUri,
  createAuthority,
  createPki,
  day,
  extensions,
  general,
  generateKey,
  oids,
  projectUri,
  withExtension,
  withoutExtension,
} from "../../../pki/pki.ts";
import type { AuthorityOptions, Edit, Template, TestAuthority } from "../../../pki/pki.ts";

const pki = createPki({
  projects: [
    { name: "shop", uid: "uid-shop" },
    { name: "other", uid: "uid-other" },
  ],
});
const root = (options: Partial<AuthorityOptions> = {}): TestAuthority =>
  createAuthority({ commonName: "root", uri: null, issuer: null, ...options });
const authority = (options: Partial<AuthorityOptions> = {}): TestAuthority =>
  createAuthority({
    commonName: "shop",
    uri: projectUri("cluster.local", "shop"),
    issuer: pki.root,
    pathLength: 0,
    excludeNames: true,
    ...options,
  });

const problemsOf = (changes: Partial<BundleParts>): readonly string[] => {
  const loaded = loadBundle({ ...pki.rawBundle(), ...changes });
  return loaded.kind === "refused" ? loaded.problems : [];
};
const withRoot = (options: Partial<AuthorityOptions>) => (): Partial<BundleParts> => ({
  roots: [root(options).der],
  projects: [],
});
const withAuthority = (options: Partial<AuthorityOptions>) => (): Partial<BundleParts> => ({
  projects: [{ name: "shop", uid: "uid-shop", authorities: [authority(options).der] }],
});
const forPurposes =
  (...usages: readonly string[]): Edit =>
  (parts) =>
    withExtension(parts, extensions.extendedKeyUsage(...usages));
const edited = (edit: Edit) => withAuthority({ edit });
const extended = (extension: Parameters<typeof withExtension>[1]) => edited((parts) => withExtension(parts, extension));
const constrained = (...fields: readonly Uint8Array[]) =>
  extended({ ...extensions.excludeDnsAndIp(), value: sequence(...fields) });
const everything = [general.dns(""), implicit(7, new Uint8Array(8)), implicit(7, new Uint8Array(32))].map((base) =>
  sequence(base),
);

test("a bundle is keyed by project, and each authority knows its root", () => {
  const loaded = loadBundle(pki.rawBundle({ version: 7n, denied: ["p"] }));
  assert.equal(loaded.kind, "bundle");
  if (loaded.kind !== "bundle") return;
  const { bundle } = loaded;
  assert.deepEqual(
    [bundle.version, bundle.trustDomain, [...bundle.denied], [...bundle.projects.keys()]],
    [7n, "cluster.local", ["p"], ["shop", "other"]],
  );
  const [shop] = bundle.projects.get("shop")!.authorities;
  assert.deepEqual(
    [shop!.der, shop!.issuer, bundle.roots[0]!.issuer],
    [pki.project("shop").der, bundle.roots[0], null],
  );
  assert.ok(shop!.key.equals(pki.project("shop").key.publicKey));
});

/** The bundle that follows one in use. */
function after(first: Partial<BundleParts>, next: Partial<BundleParts>): [LoadedBundle, LoadedBundle] {
  const held = loadBundle({ ...pki.rawBundle(), ...first });
  assert.ok(held.kind === "bundle");
  return [held, loadBundle({ ...pki.rawBundle(), ...next }, held.bundle)];
}

const authoritiesOf = (loaded: LoadedBundle): readonly object[] =>
  loaded.kind === "refused"
    ? []
    : [...loaded.bundle.roots, ...[...loaded.bundle.projects.values()].flatMap(({ authorities }) => authorities)];

test("of a bundle that follows, only what is not in the one in use is checked", () => {
  const projects = pki.rawBundle().projects.map((each) => ({ ...each, uid: `${each.uid}-again` }));
  const [held, next] = after({}, { version: 8n, projects, denied: ["p"] });
  assert.ok(next.kind === "bundle");
  const { bundle } = next;
  assert.deepEqual([bundle.version, [...bundle.denied]], [8n, ["p"]]);
  assert.deepEqual(
    [...bundle.projects.values()].map(({ uid }) => uid),
    ["uid-shop-again", "uid-other-again"],
  );
  const before = authoritiesOf(held);
  assert.equal(before.length, 3);
  for (const [index, each] of authoritiesOf(next).entries()) assert.ok(each === before[index], `${index} is another`);
});

test("a root that was renewed with its key is the one that CAs of the bundle in use end with", () => {
  const { key, commonName } = pki.root;
  const renewed = root({ key, commonName, notAfter: Date.now() + 3_650 * day });
  const [, next] = after({}, { roots: [pki.root.der, renewed.der] });
  assert.ok(next.kind === "bundle");
  assert.deepEqual(next.bundle.projects.get("shop")!.authorities[0]!.issuer!.der, renewed.der);
});

const elsewhere = createPki({ projects: [] });
const asShops = [{ name: "shop", uid: "uid-shop", authorities: [pki.project("other").der] }];
for (const [what, next, problem] of [
  ["under another root", { roots: [elsewhere.root.der] }, /untrusted_chain|bad_signature/],
  ["for another project", { projects: asShops }, /bad_subject_alternative_name/],
  ["in another trust domain", { trustDomain: "elsewhere.test" }, /bad_subject_alternative_name|bad_name_constraints/],
] as const)
  test(`what the bundle in use took is refused ${what}`, () => {
    const [, loaded] = after({}, next);
    assert.ok(loaded.kind === "refused");
    assert.match(loaded.problems.join("; "), problem);
  });

test("roots alone are a bundle, and so is a project without a CA yet", () => {
  assert.deepEqual(problemsOf({ projects: [] }), []);
  assert.deepEqual(problemsOf({ projects: [{ name: "shop", uid: "u", authorities: [] }] }), []);
});

test("what is given later does not change what was read", () => {
  const parts = pki.rawBundle();
  const copy = {
    ...parts,
    projects: parts.projects.map((project) => ({
      ...project,
      authorities: project.authorities.map((der) => Uint8Array.from(der)),
    })),
  };
  const loaded = loadBundle(copy);
  copy.projects[0]!.authorities[0]!.fill(0);
  assert.deepEqual(
    loaded.kind === "bundle" ? loaded.bundle.projects.get("shop")!.authorities[0]!.der : null,
    pki.project("shop").der,
  );
});

test("further kinds of good CAs", () => {
  for (const options of [{ keyType: "ed25519" }, { pathLength: 0 }] as const)
    assert.deepEqual(problemsOf(withAuthority(options)()), []);
  assert.deepEqual(problemsOf(extended(extensions.keyUsage(5))()), []);
  assert.deepEqual(
    problemsOf(
      constrained(
        explicit(0, sequence(general.uri("cluster.local"))),
        explicit(1, ...everything, sequence(general.email(""))),
      )(),
    ),
    [],
  );
  for (const keyType of ["p256", "p384", "ed25519", "rsa"] as const)
    assert.deepEqual(problemsOf(withRoot({ keyType })()), []);
  // Go Daddy's, Starfield's and Amazon's have it, and whoever followed the old examples of OpenSSL.
  assert.deepEqual(problemsOf(withRoot({ edit: (parts) => ({ ...parts, serial: integer(0) }) })()), []);
  const both = extensions.extendedKeyUsage(oids.codeSigning, oids.clientAuth, oids.serverAuth);
  for (const critical of [true, false])
    assert.deepEqual(problemsOf(withRoot({ edit: (parts) => withExtension(parts, { ...both, critical }) })()), []);
  assert.deepEqual(
    problemsOf(withRoot({ pathLength: 1, edit: (parts) => withoutExtension(parts, oids.keyUsage) })()),
    [],
  );
});

type Row = readonly [what: string, changes: () => Partial<BundleParts>, problem: RegExp];

const rows: readonly Row[] = [
  ["no root", () => ({ roots: [], projects: [] }), /^roots: none$/],
  [
    "a trust domain that is no name",
    () => ({ trustDomain: "Cluster.local", projects: [] }),
    /^trustDomain: not a name$/,
  ],
  ["a root that is no DER", () => ({ roots: [hex("3080")], projects: [] }), /^roots\[0\]: malformed_certificate: /],
  ["a root of v1", withRoot({ edit: (parts) => ({ ...parts, version: hex("") }) }), /^roots\[0\]: bad_version: v1/],
  ["a root with RSA 1024", withRoot({ keyType: "rsa-1024" }), /^roots\[0\]: bad_key: rsa 1024/],
  [
    "a root whose modulus is a negative number, which OpenSSL takes for a positive one",
    withRoot({ keyType: "rsa", edit: negativeModulus }),
    /^roots\[0\]: malformed_certificate: RSAPublicKey/,
  ],
  ["a root with secp256k1", withRoot({ keyType: "secp256k1" }), /^roots\[0\]: bad_key: other/],
  [
    "a root signed with SHA-1",
    withRoot({ digest: "sha1", edit: (parts) => ({ ...parts, innerAlgorithm: sha1, outerAlgorithm: sha1 }) }),
    /^roots\[0\]: bad_algorithm: neither ECDSA, Ed25519 nor RSA \(PKCS #1 v1\.5\) with SHA-256 or better$/,
  ],
  [
    "a root that is no CA",
    withRoot({ edit: (parts) => withExtension(parts, extensions.basicConstraints(false)) }),
    /^roots\[0\]: bad_basic_constraints/,
  ],
  [
    "a root without BasicConstraints",
    withRoot({ edit: (parts) => withoutExtension(parts, oids.basicConstraints) }),
    /^roots\[0\]: bad_basic_constraints/,
  ],
  ["a root with path length 0", withRoot({ pathLength: 0 }), /^roots\[0\]: bad_basic_constraints/],
  [
    "a root that may not certify",
    withRoot({ edit: (parts) => withExtension(parts, extensions.keyUsage(0)) }),
    /^roots\[0\]: bad_key_usage/,
  ],
  ["a root for servers only", withRoot({ edit: forPurposes(oids.serverAuth) }), /^roots\[0\]: bad_extended_key_usage/],
  [
    "a root for any purpose, which to OpenSSL is neither of ours",
    withRoot({ edit: forPurposes("2.5.29.37.0") }),
    /^roots\[0\]: bad_extended_key_usage/,
  ],
  [
    "a root that another CA issued",
    () => ({ roots: [pki.controlPlane.der], projects: [] }),
    /^roots\[0\]: bad_basic_constraints/,
  ],
  [
    "a root with another issuer's name",
    withRoot({ edit: (parts) => ({ ...parts, issuer: name("x") }) }),
    /^roots\[0\]: untrusted_chain/,
  ],
  [
    "a root with a signature that is not its own",
    () => ({ roots: [forged()], projects: [] }),
    /^roots\[0\]: bad_signature/,
  ],
  [
    "a root with an unknown critical extension",
    withRoot({ edit: (parts) => withExtension(parts, { oid: "1.2.3", critical: true, value: nothing() }) }),
    /^roots\[0\]: unknown_critical_extension/,
  ],
  [
    "a project that is no name",
    () => ({ projects: [{ name: "Shop", uid: "u", authorities: [] }] }),
    /^projects\[Shop\]: not a name$/,
  ],
  [
    "a project twice",
    () => ({ projects: [1, 2].map(() => ({ name: "shop", uid: "u", authorities: [] })) }),
    /^projects\[shop\]: twice$/,
  ],
  [
    "a project without uid",
    () => ({ projects: [{ name: "shop", uid: "", authorities: [] }] }),
    /^projects\[shop\]\.uid: empty$/,
  ],
  ["an empty denied pod", () => ({ denied: ["a", ""] }), /^denied\[1\]: empty$/],
  [
    "a CA that is no DER",
    () => ({ projects: [{ name: "shop", uid: "u", authorities: [hex("00")] }] }),
    /authorities\[0\]: malformed_certificate/,
  ],
  [
    "a leaf as CA",
    () => ({ projects: [{ name: "shop", uid: "u", authorities: [pki.issueLeaf({ project: "shop" }).der] }] }),
    /malformed_certificate: a CA without a subject/,
  ],
  [
    "other's CA for shop",
    () => ({ projects: [{ name: "shop", uid: "u", authorities: [pki.project("other").der] }] }),
    /bad_subject_alternative_name/,
  ],
  [
    "the control-plane CA for shop",
    () => ({ projects: [{ name: "shop", uid: "u", authorities: [pki.controlPlane.der] }] }),
    /bad_subject_alternative_name/,
  ],
  [
    "the root for shop",
    () => ({ projects: [{ name: "shop", uid: "u", authorities: [pki.root.der] }] }),
    /bad_subject_alternative_name/,
  ],
  [
    "a CA with two URIs",
    extended(
      extensions.subjectAltName(
        false,
        general.uri(projectUri("cluster.local", "shop")),
        general.uri(controlPlaneUri("cluster.local")),
      ),
    ),
    /bad_subject_alternative_name/,
  ],
  [
    "a CA that is also a host",
    extended(extensions.subjectAltName(false, general.uri(projectUri("cluster.local", "shop")), general.dns("x"))),
    /bad_subject_alternative_name/,
  ],
  [
    "a CA of another trust domain",
    withAuthority({ uri: projectUri("other.local", "shop") }),
    /bad_subject_alternative_name/,
  ],
  ["a CA with a P-384 key", withAuthority({ keyType: "p384" }), /bad_key: p384/],
  ["a CA with an RSA key", withAuthority({ keyType: "rsa" }), /bad_key: rsa/],
  ["a CA whose point is not on the curve", edited((parts) => ({ ...parts, spki: offCurve() })), /bad_key: refused/],
  ["a CA with serial 0", edited((parts) => ({ ...parts, serial: integer(0) })), /bad_serial/],
  ["a CA that is none", extended(extensions.basicConstraints(false)), /bad_basic_constraints/],
  ["a CA without path length", withAuthority({ pathLength: null }), /bad_basic_constraints/],
  ["a CA with path length 1", withAuthority({ pathLength: 1 }), /bad_basic_constraints/],
  [
    "BasicConstraints that are not critical",
    extended({ ...extensions.basicConstraints(true, 0), critical: false }),
    /bad_basic_constraints/,
  ],
  ["a CA that may also sign data", extended(extensions.keyUsage(0, 5, 6)), /bad_key_usage/],
  ["a CA that may sign CRLs only", extended(extensions.keyUsage(6)), /bad_key_usage/],
  ["a CA without KeyUsage", edited((parts) => withoutExtension(parts, oids.keyUsage)), /bad_key_usage/],
  ["KeyUsage that is not critical", extended({ ...extensions.keyUsage(5, 6), critical: false }), /bad_key_usage/],
  ["a CA with ExtendedKeyUsage", extended(extensions.extendedKeyUsage(oids.serverAuth)), /bad_extended_key_usage/],
  [
    "a CA with an unknown critical extension",
    extended({ oid: "1.2.3", critical: true, value: nothing() }),
    /unknown_critical_extension: 1\.2\.3/,
  ],
  ["no name constraints", withAuthority({ excludeNames: false }), /bad_name_constraints: absent/],
  [
    "name constraints that are not critical",
    extended({ ...extensions.excludeDnsAndIp(), critical: false }),
    /bad_name_constraints: not critical/,
  ],
  [
    "name constraints that leave IPv6 out",
    constrained(explicit(1, everything[0]!, everything[1]!)),
    /do not exclude every/,
  ],
  [
    "name constraints that leave DNS out",
    constrained(explicit(1, everything[1]!, everything[2]!)),
    /do not exclude every/,
  ],
  [
    "name constraints of one domain only",
    constrained(explicit(1, sequence(general.dns("example")), everything[1]!, everything[2]!)),
    /do not exclude every/,
  ],
  [
    "name constraints that permit DNS",
    constrained(explicit(0, sequence(general.dns("x"))), explicit(1, ...everything)),
    /permits what is not/,
  ],
  [
    "name constraints that permit another trust domain",
    constrained(explicit(0, sequence(general.uri("other.local"))), explicit(1, ...everything)),
    /permits what is not/,
  ],
  [
    "name constraints that exclude URIs",
    constrained(explicit(1, ...everything, sequence(general.uri("cluster.local")))),
    /excludes what is no host/,
  ],
  [
    "name constraints with a minimum",
    constrained(explicit(1, ...everything, sequence(general.dns(""), implicit(0, hex("00"))))),
    /GeneralSubtree/,
  ],
  ["empty name constraints", constrained(), /NameConstraints/],
  [
    "name constraints the wrong way round",
    constrained(explicit(1, ...everything), explicit(0, sequence(general.uri("cluster.local")))),
    /NameConstraints/,
  ],
  ["a CA of another root", withAuthority({ issuer: root({ commonName: "elsewhere" }) }), /untrusted_chain/],
  ["a CA of a root of the same name", withAuthority({ issuer: root({ commonName: "test root" }) }), /bad_signature/],
  ["a self-signed CA", withAuthority({ issuer: null }), /untrusted_chain/],
  ["a CA under another project's CA", withAuthority({ issuer: pki.project("other") }), /untrusted_chain/],
];

const sha1 = sequence(hex("06072a8648ce3d0401"));

function forged(): Uint8Array {
  const key = generateKey("p256");
  const like = root({ key });
  return createAuthority({ commonName: "root", uri: null, issuer: { ...like, key: generateKey("p256") }, key }).der;
}

/** Without the zero octet before its first bit. */
function negativeModulus(parts: Template): Template {
  const { n, e } = createPublicKey({ key: Buffer.from(parts.spki), format: "der", type: "spki" }).export({
    format: "jwk",
  });
  const [modulus, exponent] = [n!, e!].map((text) => tlv(0x02, new Uint8Array(Buffer.from(text, "base64url"))));
  const rsaEncryption = hex("300d06092a864886f70d0101010500");
  return { ...parts, spki: sequence(rsaEncryption, bitString(sequence(modulus!, exponent!))) };
}

function offCurve(): Uint8Array {
  const point = new Uint8Array(65).fill(1);
  point[0] = 4;
  return sequence(
    hex("301306072a8648ce3d020106082a8648ce3d030107"),
    hex(`034200${Buffer.from(point).toString("hex")}`),
  );
}

suite("refused", () => {
  for (const [what, changes, problem] of rows) {
    test(what, () => {
      const problems = problemsOf(changes());
      assert.equal(problems.length, 1, problems.join("; "));
      assert.match(problems[0]!, problem);
    });
  }
});

test("every problem is named at once", () => {
  const projects = [
    { name: "shop", uid: "", authorities: [hex("00"), pki.project("shop").der, pki.project("other").der] },
  ];
  assert.deepEqual(
    problemsOf({ projects, denied: [""] }).map((each) => each.split(": ").slice(0, 2).join(": ")),
    [
      "projects[shop].uid: empty",
      "projects[shop].authorities[0]: malformed_certificate",
      "projects[shop].authorities[2]: bad_subject_alternative_name",
      "denied[0]: empty",
    ],
  );
});

test("a pin is the SHA-256 of the root's DER", () => {
  const pin = createHash("sha256").update(pki.root.der).digest("hex");
  assert.equal(pinOf(pki.root.der), pin);
  assert.equal(matchesPins(pki.root.der, ["00".repeat(32), pin.toUpperCase()]), true);
  assert.equal(matchesPins(pki.root.der, [pin.slice(0, 62), `${pin}00`]), false);
  assert.equal(matchesPins(pki.project("shop").der, [pin]), false);
  assert.equal(matchesPins(pki.root.der, []), false);
});
