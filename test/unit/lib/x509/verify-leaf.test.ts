/** What a chain and its leaf may not look like: one row a rule. */
import { generateKeyPairSync } from "node:crypto";
import type { Verification } from "../../../../lib/x509/verify.ts";
import { signatureAlgorithm } from "../../../pki/certificate.ts";
import { bitString, concat, explicit, hex, integer, name, nothing, oid, sequence } from "../../../pki/der-writer.ts";
import {
  extensions,
  general,
  generateKey,
  oids,
  projectUri,
  withExtension,
  withoutExtension,
} from "../../../pki/pki.ts";
import type { Edit } from "../../../pki/pki.ts";
import { edited, leaf, leafOf, pki, refusals, uri } from "./mesh.ts";
import type { Row } from "./mesh.ts";

const notAsked = { kind: "not-asked" } as const;
const refused = { kind: "refused", code: "DEPTH_ZERO_SELF_SIGNED_CERT" } as const;
const named = (...names: readonly Uint8Array[]) =>
  edited((parts) => withExtension(parts, extensions.subjectAltName(true, ...names)));

const padded = extensions.subjectKeyIdentifier(generateKey("p256").publicKey);

refusals("the chain as sent", [
  ["nothing", "no_certificate", /no chain/, () => ({ chain: [] })],
  [
    "more than 16 KiB",
    "chain_too_large",
    /\d{5} bytes/,
    edited((parts) => withExtension(parts, { ...padded, value: new Uint8Array(16_000) })),
  ],
  ["the leaf alone", "chain_too_long", /^1 certificates/, () => ({ chain: leafOf().slice(0, 1) })],
  [
    "a root that is not the bundle's",
    "chain_too_long",
    /third certificate/,
    () => ({ chain: [...leafOf(), pki.controlPlane.der] }),
  ],
  [
    "four certificates",
    "chain_too_long",
    /^4 certificates/,
    () => ({ chain: [...leafOf(), pki.root.der, pki.root.der] }),
  ],
  [
    "self-signed, seen by OpenSSL",
    "untrusted_chain",
    /DEPTH_ZERO/,
    () => ({ chain: pki.selfSigned({ project: "shop" }).chain, openssl: refused }),
  ],
  [
    "self-signed, not seen by OpenSSL",
    "chain_too_long",
    /^1 certificates/,
    () => ({ chain: pki.selfSigned({ project: "shop" }).chain, openssl: notAsked }),
  ],
]);

const curve = sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7"));
/** A P-256 key whose point is written another way. */
const pointed = (write: (uncompressed: Uint8Array) => Uint8Array): (() => Partial<Verification>) => {
  const point = generateKey("p256").publicKey.export({ format: "raw-public", type: "uncompressed" });
  return edited((parts) => ({ ...parts, spki: sequence(curve, bitString(write(new Uint8Array(point)))) }));
};
const explicitCurve = (): Uint8Array =>
  new Uint8Array(
    generateKeyPairSync("ec", { namedCurve: "prime256v1", paramEncoding: "explicit" }).publicKey.export({
      type: "spki",
      format: "der",
    }),
  );
const parity = (point: Uint8Array): number => point.at(-1)! & 1;

const ed25519Algorithm = signatureAlgorithm({ ...generateKey("ed25519") });

refusals("the leaf's form", [
  ["v1", "bad_version", /^v1/, edited((parts) => ({ ...parts, version: hex("") }))],
  ["v2", "bad_version", /^v2/, edited((parts) => ({ ...parts, version: explicit(0, integer(1)) }))],
  ["v4", "bad_version", /^v4/, edited((parts) => ({ ...parts, version: explicit(0, integer(3)) }))],
  ["serial 0", "bad_serial", /positive/, edited((parts) => ({ ...parts, serial: integer(0) }))],
  ["negative serial", "bad_serial", /positive/, edited((parts) => ({ ...parts, serial: hex("0201ff") }))],
  ["serial of 21 octets", "bad_serial", /^21 octets/, edited((parts) => ({ ...parts, serial: integer(2n ** 160n) }))],
  [
    "signed with SHA-1",
    "bad_algorithm",
    /^other/,
    leaf({ digest: "sha1", edit: (parts) => bothAlgorithms(parts, signatureAlgorithm(pki.root.key, "sha1")) }),
  ],
  [
    "inner algorithm SHA-384, outer SHA-256",
    "bad_algorithm",
    /differ/,
    edited((parts) => ({ ...parts, innerAlgorithm: signatureAlgorithm(pki.root.key, "sha384") })),
  ],
  [
    "outer algorithm with NULL",
    "bad_algorithm",
    /differ/,
    edited((parts) => ({ ...parts, outerAlgorithm: sequence(oid("1.2.840.10045.4.3.2"), nothing()) })),
  ],
  [
    "RSA with SHA-256",
    "bad_algorithm",
    /rsa-sha256/,
    edited((parts) => bothAlgorithms(parts, signatureAlgorithm(generateKey("rsa")))),
  ],
  [
    "Ed25519 from a P-256 CA",
    "bad_algorithm",
    /another kind/,
    edited((parts) => bothAlgorithms(parts, ed25519Algorithm)),
  ],
  ["P-384 key", "bad_key", /p384/, leaf({ keyType: "p384" })],
  ["RSA key", "bad_key", /rsa 2048/, leaf({ keyType: "rsa" })],
  ["secp256k1 key", "bad_key", /other/, leaf({ keyType: "secp256k1" })],
  [
    "compressed P-256 point",
    "bad_key",
    /other/,
    pointed((point) => concat(Uint8Array.of(2 + parity(point)), point.subarray(1, 33))),
  ],
  [
    "hybrid P-256 point",
    "bad_key",
    /other/,
    pointed((point) => concat(Uint8Array.of(6 + parity(point)), point.subarray(1))),
  ],
  ["P-256 point of 64 octets", "bad_key", /other/, pointed((point) => point.subarray(0, 64))],
  ["explicit curve parameters", "bad_key", /other/, edited((parts) => ({ ...parts, spki: explicitCurve() }))],
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

refusals("the name", [
  [
    "no subject alternative name",
    "bad_subject_alternative_name",
    /^absent/,
    edited((parts) => withoutExtension(parts, oids.subjectAltName)),
  ],
  ["an empty list of names", "bad_subject_alternative_name", /^0 URIs/, named()],
  [
    "two URIs, the first good",
    "bad_subject_alternative_name",
    /^2 URIs/,
    named(general.uri(uri), general.uri("spiffe://cluster.local/ns/other/sa/cart")),
  ],
  ["the same URI twice", "bad_subject_alternative_name", /^2 URIs/, named(general.uri(uri), general.uri(uri))],
  [
    "a DNS name beside the URI",
    "bad_subject_alternative_name",
    /beside the URI: dns/,
    named(general.uri(uri), general.dns("cart.shop.svc")),
  ],
  [
    "an address beside the URI",
    "bad_subject_alternative_name",
    /beside the URI: ip/,
    named(general.uri(uri), general.ip([10, 0, 0, 1])),
  ],
  [
    "an e-mail beside the URI",
    "bad_subject_alternative_name",
    /beside the URI: email/,
    named(general.email("a@b"), general.uri(uri)),
  ],
  [
    "a directory name beside the URI",
    "bad_subject_alternative_name",
    /beside the URI: directory/,
    named(general.uri(uri), general.directory("x")),
  ],
  ["a DNS name that holds the text of a SPIFFE ID", "bad_subject_alternative_name", /^0 URIs/, named(general.dns(uri))],
  [
    "not critical beside an empty subject",
    "bad_subject_alternative_name",
    /not critical/,
    edited((parts) => withExtension(parts, extensions.subjectAltName(false, general.uri(uri)))),
  ],
  [
    "critical beside a subject",
    "bad_subject_alternative_name",
    /critical beside a subject/,
    edited((parts) => ({ ...parts, subject: name("cart") })),
  ],
  ...badNames.map(([what, text]): Row => [
    `a URI with ${what}`,
    "bad_subject_alternative_name",
    /no SPIFFE ID/,
    named(general.uri(text)),
  ]),
]);

const extended = (extension: Parameters<typeof withExtension>[1]) => edited((parts) => withExtension(parts, extension));
const without = (id: string) => edited((parts) => withoutExtension(parts, id));

refusals("the extensions", [
  [
    "an unknown critical one",
    "unknown_critical_extension",
    /^1\.2\.3\.4/,
    extended({ oid: "1.2.3.4", critical: true, value: nothing() }),
  ],
  ["critical name constraints", "unknown_critical_extension", /^2\.5\.29\.30/, extended(extensions.excludeDnsAndIp())],
  [
    "a critical PodIdentity",
    "unknown_critical_extension",
    /57683\.1$/,
    extended(extensions.podIdentity(["shop", "uid-shop", "cart", "", "cart-1", "u", "", ""], true)),
  ],
  ["no BasicConstraints", "bad_basic_constraints", /^absent/, without(oids.basicConstraints)],
  ["CA:TRUE", "bad_basic_constraints", /^CA/, extended(extensions.basicConstraints(true))],
  ["a path length without CA", "bad_basic_constraints", /path length/, extended(extensions.basicConstraints(false, 0))],
  ["no KeyUsage", "bad_key_usage", /^absent/, without(oids.keyUsage)],
  ["KeyUsage with keyEncipherment as well", "bad_key_usage", /bits 101$/, extended(extensions.keyUsage(0, 2))],
  ["KeyUsage with keyCertSign only", "bad_key_usage", /bits 100000$/, extended(extensions.keyUsage(5))],
  ["KeyUsage without a bit", "bad_key_usage", /bits 0$/, extended(extensions.keyUsage())],
  ["no ExtendedKeyUsage", "bad_extended_key_usage", /^absent/, without(oids.extendedKeyUsage)],
  [
    "ExtendedKeyUsage clientAuth alone",
    "bad_extended_key_usage",
    /3\.2$/,
    extended(extensions.extendedKeyUsage(oids.clientAuth)),
  ],
  [
    "ExtendedKeyUsage serverAuth alone",
    "bad_extended_key_usage",
    /3\.1$/,
    extended(extensions.extendedKeyUsage(oids.serverAuth)),
  ],
  [
    "ExtendedKeyUsage serverAuth twice",
    "bad_extended_key_usage",
    /3\.1, .*3\.1$/,
    extended(extensions.extendedKeyUsage(oids.serverAuth, oids.serverAuth)),
  ],
  [
    "ExtendedKeyUsage with codeSigning as well",
    "bad_extended_key_usage",
    /3\.3$/,
    extended(extensions.extendedKeyUsage(oids.serverAuth, oids.clientAuth, oids.codeSigning)),
  ],
  [
    "ExtendedKeyUsage clientAuth with codeSigning",
    "bad_extended_key_usage",
    /3\.2, .*3\.3$/,
    extended(extensions.extendedKeyUsage(oids.clientAuth, oids.codeSigning)),
  ],
  [
    "ExtendedKeyUsage clientAuth twice",
    "bad_extended_key_usage",
    /3\.2, .*3\.2$/,
    extended(extensions.extendedKeyUsage(oids.clientAuth, oids.clientAuth)),
  ],
  ["ExtendedKeyUsage any", "bad_extended_key_usage", /37\.0$/, extended(extensions.extendedKeyUsage("2.5.29.37.0"))],
]);
