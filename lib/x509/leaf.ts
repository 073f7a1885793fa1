/** What a leaf of the mesh has to look like, rule by rule, each with its reason. Pure. */
import { parseSpiffeId } from "../identity/spiffe-id.ts";
import type { SpiffeId } from "../identity/spiffe-id.ts";
import { extensionOids, keyUsageBits, purposes } from "./certificate.ts";
import type { Certificate } from "./certificate.ts";
import { serialFault, unknownCritical } from "./fault.ts";
import type { Fault } from "./fault.ts";

/** Version, serial, signature algorithm, key. */
export function leafFormFault(leaf: Certificate): Fault | null {
  if (leaf.version !== 3) return { reason: "bad_version", detail: `v${leaf.version}` };
  const serial = serialFault(leaf);
  if (serial !== null) return serial;
  if (!leaf.algorithmsAgree) return { reason: "bad_algorithm", detail: "inner and outer differ" };
  // An authority of a project has a P-256 or Ed25519 key, so nothing else can have signed.
  if (!leaf.algorithm.startsWith("ecdsa-") && leaf.algorithm !== "ed25519")
    return { reason: "bad_algorithm", detail: leaf.algorithm };
  return leaf.key.kind === "p256" || leaf.key.kind === "ed25519"
    ? null
    : { reason: "bad_key", detail: `${leaf.key.kind} ${leaf.key.bits}` };
}

type Name =
  | { readonly kind: "name"; readonly id: SpiffeId; readonly uri: string }
  | { readonly kind: "fault"; readonly fault: Fault };

/**
 * Exactly one URI, and it is a SPIFFE ID of the mesh's form. It stands alone, but in a leaf of the control plane, whose
 * programs are also dialled by host name (webhooks, other agents): there DNS names and addresses may follow, and
 * identify nobody to us.
 */
export function leafName(leaf: Certificate, company: "alone" | "with-hosts"): Name {
  const fault = (detail: string): Name => ({
    kind: "fault",
    fault: { reason: "bad_subject_alternative_name", detail },
  });
  if (leaf.names === null) return fault("absent");
  const uris = leaf.names.filter((name) => name.kind === "uri");
  if (uris.length !== 1) return fault(`${uris.length} URIs`);
  const others = leaf.names.filter(
    (name) => name.kind !== "uri" && !(company === "with-hosts" && (name.kind === "dns" || name.kind === "ip")),
  );
  if (others.length > 0) return fault(`beside the URI: ${others.map((name) => name.kind).join(", ")}`);
  // RFC 5280, 4.2.1.6.
  if (leaf.extensions.get(extensionOids.subjectAltName)?.critical !== leaf.subjectEmpty)
    return fault(leaf.subjectEmpty ? "not critical beside an empty subject" : "critical beside a subject");
  const uri = uris[0]!.text;
  const id = parseSpiffeId(uri);
  return id === null ? fault("no SPIFFE ID of a project and a service account") : { kind: "name", id, uri };
}

const known: ReadonlySet<string> = new Set([
  extensionOids.keyUsage,
  extensionOids.subjectAltName,
  extensionOids.basicConstraints,
  extensionOids.extendedKeyUsage,
]);

/** Both purposes of a proxy, no other, none twice. */
export function leafExtensionFault(leaf: Certificate): Fault | null {
  const unknown = unknownCritical(leaf, known);
  if (unknown !== null) return unknown;
  const constraints = leaf.basicConstraints;
  if (constraints === null) return { reason: "bad_basic_constraints", detail: "absent" };
  if (constraints.ca || constraints.pathLength !== null)
    return { reason: "bad_basic_constraints", detail: constraints.ca ? "CA" : "a path length without CA" };
  if (leaf.keyUsage !== keyUsageBits.digitalSignature)
    return { reason: "bad_key_usage", detail: leaf.keyUsage === null ? "absent" : `bits ${leaf.keyUsage.toString(2)}` };
  const usages = leaf.extendedKeyUsage;
  if (usages === null) return { reason: "bad_extended_key_usage", detail: "absent" };
  const exact = usages.length === 2 && usages.includes(purposes.clientAuth) && usages.includes(purposes.serverAuth);
  return exact ? null : { reason: "bad_extended_key_usage", detail: usages.join(", ") };
}
