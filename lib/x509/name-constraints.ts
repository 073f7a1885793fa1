/**
 * The name constraints of a project CA (RFC 5280, 4.2.1.10): critical, and excluding every DNS name and every address
 * of both families, so that a stolen key cannot make a certificate that a browser or a client of ours would take for a
 * host. Beyond that they may exclude e-mail and permit URIs of the trust domain, which changes nothing for us. Pure.
 */
import { extensionOids } from "./certificate.ts";
import type { Certificate } from "./certificate.ts";
import { childrenOf, decode, latin1Text, malformed, tags } from "./der.ts";
import type { Element } from "./der.ts";
import type { Fault } from "./fault.ts";

/** General names as tag and content in hex: the empty DNS name matches every one, a zero mask every address. */
const everyHost: readonly string[] = ["82:", `87:${"00".repeat(8)}`, `87:${"00".repeat(32)}`];

export function nameConstraintsFault(certificate: Certificate, trustDomain: string): Fault | null {
  const wrong = (detail: string): Fault => ({ reason: "bad_name_constraints", detail });
  if (certificate.nameConstraints === null) return wrong("absent");
  if (certificate.extensions.get(extensionOids.nameConstraints)?.critical !== true) return wrong("not critical");
  const decoded = decode(certificate.nameConstraints, readSubtrees);
  if (decoded.kind === "malformed") return wrong(decoded.what);
  const { permitted, excluded } = decoded.value;
  const ownUri = `86:${Buffer.from(trustDomain, "latin1").toString("hex")}`;
  if (permitted.some((base) => base !== ownUri)) return wrong("permits what is not the trust domain's URIs");
  if (excluded.some((base) => !/^8[127]:/.test(base))) return wrong("excludes what is no host and no e-mail");
  return everyHost.every((base) => excluded.includes(base)) ? null : wrong("do not exclude every DNS name and address");
}

type Subtrees = { readonly permitted: readonly string[]; readonly excluded: readonly string[] };

function readSubtrees(root: Element, bytes: Uint8Array): Subtrees {
  const fields = childrenOf(root, tags.sequence);
  const order = fields.map((field) => field.tag).join();
  if (order !== "160" && order !== "161" && order !== "160,161") malformed("NameConstraints", root.start);
  const bases = (tag: number): readonly string[] =>
    fields.find((field) => field.tag === tag)?.children.map((subtree) => readBase(subtree, bytes)) ?? [];
  return { permitted: bases(0xa0), excluded: bases(0xa1) };
}

/** minimum is DEFAULT 0 and maximum unused (RFC 5280, 4.2.1.10), so the base stands alone. */
function readBase(subtree: Element, bytes: Uint8Array): string {
  const [base, ...rest] = childrenOf(subtree, tags.sequence);
  if (base === undefined || rest.length > 0) return malformed("GeneralSubtree", subtree.start);
  return `${base.tag.toString(16)}:${Buffer.from(latin1Text(bytes, base), "latin1").toString("hex")}`;
}
