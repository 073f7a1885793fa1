/**
 * Signs a leaf and reads the finished bytes back with the verifier that every proxy uses. What that verifier would
 * refuse never leaves the ca: a mistake in a template cannot become a certificate.
 */
import { loadBundle } from "../../lib/trust/bundle.ts";
import type { BundleParts, LoadedBundle } from "../../lib/trust/bundle.ts";
import { verify } from "../../lib/x509/verify.ts";
import type { Expected, Peer, PodIdentity } from "../../lib/x509/verify.ts";
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";
import type { SigningAuthority } from "../store/authority.ts";
import { signCertificate } from "../x509/certificate.ts";
import type { GeneralName } from "../x509/extensions.ts";
import { leafTemplate } from "./profile.ts";
import type { LeafSubject } from "./profile.ts";
import { randomSerial } from "./serial.ts";

export type Leaf = {
  readonly kind: "leaf";
  readonly der: Buffer;
  readonly serial: string;
  readonly notBefore: number;
  readonly notAfter: number;
};

/** The authorities that the finished leaf is checked against, and when. */
export type Surroundings = {
  readonly trustDomain: string;
  readonly root: SigningAuthority;
  readonly issuer: SigningAuthority;
  /** Milliseconds since the epoch. */
  readonly now: number;
};

export type PodLeaf = { readonly pod: PodIdentity; readonly publicKey: Uint8Array; readonly ttl: number };

export function issueForPod({ pod, publicKey, ttl }: PodLeaf, surroundings: Surroundings): Leaf | Denial {
  const { namespace: project, serviceAccount } = pod;
  const id = { trustDomain: surroundings.trustDomain, project, serviceAccount };
  const expected: Expected = { kind: "pod", project, serviceAccount, podUid: pod.podUid };
  const projects = [{ name: project, uid: pod.namespaceUid, authorities: [surroundings.issuer.certificate.der] }];
  return issue({ id, pod, servingNames: [], publicKey, ttl }, surroundings, { expected, projects });
}

export type ControlPlaneLeaf = {
  readonly project: string;
  readonly serviceAccount: string;
  readonly servingNames: readonly GeneralName[];
  readonly publicKey: Uint8Array;
  readonly ttl: number;
};

/**
 * However long leaves of pods may live: what a proxy takes was fixed when its pod was made, and one that was told less than
 * the ca issues by now still has to believe ca and controller.
 */
const longestOfControlPlane = 24 * 3_600_000;

export function issueForControlPlane(
  { project, serviceAccount, ttl, ...rest }: ControlPlaneLeaf,
  surroundings: Surroundings,
): Leaf | Denial {
  const id = { trustDomain: surroundings.trustDomain, project, serviceAccount };
  const subject = { id, pod: null, ttl: Math.min(ttl, longestOfControlPlane), ...rest };
  return issue(subject, surroundings, {
    expected: { kind: "control-plane", project, serviceAccount },
    projects: [],
  });
}

type ReadBack = { readonly expected: Expected; readonly projects: BundleParts["projects"] };

function issue(subject: LeafSubject, surroundings: Surroundings, readBack: ReadBack): Leaf | Denial {
  const { root, issuer, trustDomain, now } = surroundings;
  const der = signCertificate(leafTemplate(subject, issuer.signer, { now, serial: randomSerial() }), issuer.key);
  const loaded = trustFor(issuer, { trustDomain, root: root.certificate.der, projects: readBack.projects });
  if (loaded.kind === "refused") return denial("issuer_unusable", loaded.problems.join("; "));
  const verdict = verify({
    chain: [der, issuer.certificate.der],
    now,
    expected: readBack.expected,
    bundle: loaded.bundle,
    openssl: { kind: "not-asked" },
    maxLeafLifetimeMs: subject.ttl,
  });
  if (verdict.kind === "peer") return leafOf(der, verdict);
  // A leaf lives longer than a moment, unless its issuer, or the root, has ended.
  const reason = verdict.reason === "expired" ? "issuer_unusable" : "certificate_unfit";
  return denial(reason, `${verdict.reason}: ${verdict.detail}`);
}

type Trust = {
  readonly trustDomain: string;
  readonly root: Uint8Array;
  readonly projects: BundleParts["projects"];
};

/**
 * By issuer: what it is judged by does not change between two leaves of it. Two signatures and three certificates less a
 * leaf, 0.3 of 1.9 ms of CPU measured with `npm run bench -- ca`.
 */
const trusts = new WeakMap<SigningAuthority, { readonly key: string; readonly loaded: LoadedBundle }>();

function trustFor(issuer: SigningAuthority, { trustDomain, root, projects }: Trust): LoadedBundle {
  const key = JSON.stringify([trustDomain, projects.map(({ name, uid }) => [name, uid])]);
  const known = trusts.get(issuer);
  if (known?.key === key) return known.loaded;
  const loaded = loadBundle({ version: 0n, trustDomain, roots: [root], projects, denied: [] });
  trusts.set(issuer, { key, loaded });
  return loaded;
}

const leafOf = (der: Buffer, { serial, notBefore, notAfter }: Peer): Leaf => ({
  kind: "leaf",
  der,
  serial,
  notBefore,
  notAfter,
});
