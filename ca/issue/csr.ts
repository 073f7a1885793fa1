/**
 * Reads a certificate request strictly. Of it only the public key counts, and the proof that the sender holds the
 * private one. Anything else that it asks for is refused, with one exception: it may repeat exactly the caller's own
 * SPIFFE URI as its only extension, and its subject may hold one empty organization, because other agents send that.
 * RFC 2986. Pure.
 */
import { verify } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { importKey } from "../../lib/x509/algorithms.ts";
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";
import {
  content,
  contextContent,
  contextOf,
  integer,
  isExactly,
  oid,
  readDer,
  sequence,
  sequenceOf,
  set,
  setOf,
  tag,
  truth,
  utf8,
  writeDer,
} from "../x509/der.ts";
import type { Asn1 } from "../x509/der.ts";
import { extensionOid } from "../x509/extensions.ts";
import { readPem } from "../x509/pem.ts";

export const longestCsr = 4096;

export type Csr = {
  readonly kind: "csr";
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKey: Buffer;
};

/** SubjectPublicKeyInfo of an uncompressed P-256 point, up to the point's coordinates: id-ecPublicKey, prime256v1, 66 octets, 04. */
const p256Prefix = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex");
const extensionRequest = "1.2.840.113549.1.9.14";
const organization = "2.5.4.10";
const version1 = (): Asn1 => integer(Uint8Array.of(0));
const ecdsaWithSha256 = (): Asn1 => sequence(oid("1.2.840.10045.4.3.2"));

export function readCsr(text: string, ownUri: string): Csr | Denial {
  if (Buffer.byteLength(text) > longestCsr) return denial("csr_malformed", `larger than ${longestCsr} bytes`);
  const der = readPem("CERTIFICATE REQUEST", text);
  if (der === null) return denial("csr_malformed", "not one PEM block CERTIFICATE REQUEST");
  const parts = partsOf(der);
  if (parts === null) return denial("csr_malformed", "not a CertificationRequest in DER");
  if (!isExactly(parts.version, version1())) return denial("csr_malformed", "version is not 1");
  const publicKey = writeDer(parts.spki);
  if (!isP256(publicKey)) return denial("csr_bad_key", "not an uncompressed P-256 key");
  const key = importKey({ der: publicKey });
  if (key === null) return denial("csr_bad_key", "the point is not on the curve");
  return (
    possessionProblem(parts, key) ?? extraIn(parts.subject, parts.attributes, ownUri) ?? { kind: "csr", publicKey }
  );
}

type Parts = {
  readonly info: Asn1;
  readonly version: Asn1;
  readonly subject: Asn1;
  readonly spki: Asn1;
  readonly attributes: Asn1 | undefined;
  readonly algorithm: Asn1;
  readonly signature: Asn1;
};

function partsOf(der: Uint8Array): Parts | null {
  const outer = sequenceOf(readDer(der) ?? undefined) ?? [];
  const [info, algorithm, signature] = outer;
  const fields = sequenceOf(info) ?? [];
  const [version, subject, spki, attributes] = fields;
  if (outer.length !== 3 || fields.length < 3 || fields.length > 4) return null;
  return {
    info: info!,
    version: version!,
    subject: subject!,
    spki: spki!,
    attributes,
    algorithm: algorithm!,
    signature: signature!,
  };
}

function possessionProblem({ info, algorithm, signature }: Parts, key: KeyObject): Denial | null {
  if (!isExactly(algorithm, ecdsaWithSha256())) return denial("csr_bad_key", "not signed with ECDSA and SHA-256");
  const bits = content(signature, tag.bitString);
  const proven = bits?.[0] === 0 && verify("sha256", writeDer(info), key, bits.subarray(1));
  return proven ? null : denial("csr_bad_signature", "the proof of possession does not verify");
}

const isP256 = (spki: Buffer): boolean =>
  spki.length === p256Prefix.length + 64 && spki.subarray(0, p256Prefix.length).equals(p256Prefix);

const isEmptyOrganization = (subject: Asn1): boolean =>
  [utf8(""), { ...utf8(""), type: tag.printableString }].some((empty) =>
    isExactly(subject, sequence(set(sequence(oid(organization), empty)))),
  );

/** What the request asks for beyond a certificate for its key; null if nothing but the caller's own name. */
function extraIn(subject: Asn1, attributes: Asn1 | undefined, ownUri: string): Denial | null {
  if (!isExactly(subject, sequence()) && !isEmptyOrganization(subject)) return denial("csr_asks_too_much", "a subject");
  if (attributes === undefined) return null;
  const list = contextOf(attributes, 0);
  if (list === null) return denial("csr_malformed", "attributes are not [0]");
  if (list.length === 0) return null;
  const [type, values] = sequenceOf(list[0]) ?? [];
  if (list.length !== 1 || !isExactly(type, oid(extensionRequest)))
    return denial("csr_asks_too_much", "an attribute other than one extensionRequest");
  const requests = setOf(values);
  const requested = requests?.length === 1 ? sequenceOf(requests[0]) : null;
  if (requested?.length !== 1) return denial("csr_asks_too_much", "not exactly one extension");
  return nameIn(requested[0]!, ownUri);
}

function nameIn(extension: Asn1, ownUri: string): Denial | null {
  const parts = sequenceOf(extension) ?? [];
  const critical = parts.length === 3 && isExactly(parts[1], truth());
  if (!isExactly(parts[0], oid(extensionOid.subjectAltName)) || (parts.length !== 2 && !critical)) {
    return denial("csr_asks_too_much", "an extension other than the subject alternative name");
  }
  const value = content(parts.at(-1), tag.octetString);
  const names = value === null ? null : sequenceOf(readDer(value) ?? undefined);
  const uri = names?.length === 1 ? contextContent(names[0], 6) : null;
  if (uri === null) return denial("csr_asks_too_much", "not exactly one name of kind URI");
  return uri.equals(Buffer.from(ownUri)) ? null : denial("csr_other_identity", "a name that is not the caller's own");
}
