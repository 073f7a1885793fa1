/** A mesh of two projects with a fixed clock, and one verification of it that is accepted: what the verifier's tests bend. */
import assert from "node:assert/strict";
import { loadBundle } from "../../../../lib/trust/bundle.ts";
import type { BundleParts } from "../../../../lib/trust/bundle.ts";
import { verify } from "../../../../lib/x509/verify.ts";
import type { Expected, Peer, Refusal, TrustBundle, Verification } from "../../../../lib/x509/verify.ts";
import { createPki, day } from "../../../pki/pki.ts";
import type { LeafOptions, Pki } from "../../../pki/pki.ts";

export const now = Date.UTC(2026, 5, 15, 12, 0, 0);

export const pki: Pki = createPki({ projects: [{ name: "shop", uid: "uid-shop" }, { name: "other", uid: "uid-other" }], now });

export function bundleOf(parts: BundleParts): TrustBundle {
  const loaded = loadBundle(parts);
  assert.equal(loaded.kind, "bundle", loaded.kind === "refused" ? loaded.problems.join("; ") : "");
  return (loaded as Extract<typeof loaded, { kind: "bundle" }>).bundle;
}

export const bundle: TrustBundle = bundleOf(pki.rawBundle());

export const anyOfShop: Expected = { kind: "projects", projects: new Set(["shop"]) };
export const cart: Expected = { kind: "pod", project: "shop", serviceAccount: "cart", podUid: "uid-of-cart-1" };
export const theCa: Expected = { kind: "control-plane", project: "tencrypt-ca", serviceAccount: "tencrypt-ca" };

export const leafOf = (options: Partial<LeafOptions> = {}): readonly Uint8Array[] =>
  pki.issueLeaf({ project: "shop", serviceAccount: "cart", ...options }).chain;

/** A good leaf of shop's cart, asked for by anybody of shop, unless `changes` say otherwise. */
export const judge = (changes: Partial<Verification> = {}): Peer | Refusal =>
  verify({ chain: leafOf(), now, expected: anyOfShop, bundle, openssl: { kind: "trusted" }, maxLeafLifetimeMs: 2 * day, ...changes });
