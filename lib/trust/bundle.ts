/**
 * The trust bundle, from the parts that the CA publishes. Every certificate in it is parsed and checked once, here: a
 * root by its own signature, a project's CA by the profile of lib/x509/authority.ts and a root's signature. A bundle is
 * taken whole or not at all, and then every problem of it is named. Pure.
 */
import { createHash } from "node:crypto";
import { isName } from "../identity/spiffe-id.ts";
import { readProjectAuthority, readRoot } from "../x509/authority.ts";
import type { Authority, ReadAuthority } from "../x509/authority.ts";
import { equalBytes } from "../x509/der.ts";
import type { TrustBundle } from "../x509/verify.ts";

/** As it comes from the wire or a file; certificates in DER. */
export type BundleParts = {
  readonly version: bigint;
  readonly trustDomain: string;
  readonly roots: readonly Uint8Array[];
  readonly projects: readonly {
    readonly name: string;
    readonly uid: string;
    readonly authorities: readonly Uint8Array[];
  }[];
  readonly denied: readonly string[];
};

export type LoadedBundle =
  | { readonly kind: "bundle"; readonly bundle: TrustBundle }
  /** Each `<where>: <reason>: <detail>`. */
  | { readonly kind: "refused"; readonly problems: readonly string[] };

type Problems = string[];

/**
 * Roots alone, without a project, are a bundle: what a program trusts before it has talked to the CA. `held` is the one in
 * use: what it has checked is not checked again, as a signature takes a moment and one project of thousands has changed.
 */
export function loadBundle(parts: BundleParts, held: TrustBundle | null = null): LoadedBundle {
  const problems: Problems = [];
  if (!isName(parts.trustDomain)) problems.push("trustDomain: not a name");
  if (parts.roots.length === 0) problems.push("roots: none");
  const roots = parts.roots.flatMap((der, index) => {
    const known = withDer(held?.roots, der);
    return known === undefined ? accepted(readRoot(der), `roots[${index}]`, problems) : [known];
  });
  // Which project's CA it is depends on the trust domain, and who vouches for it on the roots.
  const isSame = held?.trustDomain === parts.trustDomain && areSame(held.roots, roots);
  const projects = loadProjects(parts, { roots, held: isSame ? held : null }, problems);
  const empty = parts.denied.indexOf("");
  if (empty >= 0) problems.push(`denied[${empty}]: empty`);
  if (problems.length > 0) return { kind: "refused", problems };
  return {
    kind: "bundle",
    bundle: { version: parts.version, trustDomain: parts.trustDomain, roots, projects, denied: new Set(parts.denied) },
  };
}

const withDer = (authorities: readonly Authority[] | undefined, der: Uint8Array): Authority | undefined =>
  authorities?.find((each) => equalBytes(each.der, der));

const areSame = (some: readonly Authority[], others: readonly Authority[]): boolean =>
  some.length === others.length && some.every((each, index) => each === others[index]);

type Surroundings = { readonly roots: readonly Authority[]; readonly held: TrustBundle | null };

function loadProjects(parts: BundleParts, { roots, held }: Surroundings, problems: Problems): TrustBundle["projects"] {
  const projects = new Map<string, { readonly uid: string; readonly authorities: readonly Authority[] }>();
  for (const { name, uid, authorities } of parts.projects) {
    const where = `projects[${name.slice(0, 64)}]`;
    if (!isName(name)) problems.push(`${where}: not a name`);
    if (projects.has(name)) problems.push(`${where}: twice`);
    // A leaf with an empty namespace uid must not match anything.
    if (uid === "") problems.push(`${where}.uid: empty`);
    const before = held?.projects.get(name)?.authorities;
    const read = authorities.flatMap((der, index) => {
      const known = withDer(before, der);
      if (known !== undefined) return [known];
      const anew = readProjectAuthority(der, name, { trustDomain: parts.trustDomain, roots });
      return accepted(anew, `${where}.authorities[${index}]`, problems);
    });
    projects.set(name, { uid, authorities: read });
  }
  return projects;
}

function accepted(read: ReadAuthority, where: string, problems: Problems): readonly Authority[] {
  if (read.kind === "authority") return [read.authority];
  problems.push(`${where}: ${read.fault.reason}: ${read.fault.detail}`);
  return [];
}

/** SHA-256 of the certificate's DER, in lower-case hex. */
export const pinOf = (rootDer: Uint8Array): string => createHash("sha256").update(rootDer).digest("hex");

/** The same of a certificate in PEM. */
export const pinOfPem = (pem: string): string =>
  pinOf(Buffer.from(pem.replaceAll(/-----[A-Z ]+-----|\s/g, ""), "base64"));

/** Whether one of the pins, 64 hex digits each, is this root's. Without pins none is: whether that matters, the caller knows. */
export function matchesPins(rootDer: Uint8Array, pins: readonly string[]): boolean {
  const pin = pinOf(rootDer);
  return pins.some((each) => each.toLowerCase() === pin);
}
