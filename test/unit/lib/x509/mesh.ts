/** A mesh of two projects with a fixed clock, and one verification of it that is accepted: what the verifier's tests bend. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Reason } from "../../../../lib/errors/reasons.ts";
import { loadBundle } from "../../../../lib/trust/bundle.ts";
import type { BundleParts } from "../../../../lib/trust/bundle.ts";
import { verify } from "../../../../lib/x509/verify.ts";
import type { Expected, Peer, Refusal, TrustBundle, Verification } from "../../../../lib/x509/verify.ts";
import { createPki, day } from "../../../pki/pki.ts";
import type { Edit, LeafOptions, Pki } from "../../../pki/pki.ts";

export const now = Date.UTC(2026, 5, 15, 12, 0, 0);

export const pki: Pki = createPki({
  projects: [
    { name: "shop", uid: "uid-shop" },
    { name: "other", uid: "uid-other" },
  ],
  now,
});

export function bundleOf(parts: BundleParts): TrustBundle {
  const loaded = loadBundle(parts);
  assert.equal(loaded.kind, "bundle", loaded.kind === "refused" ? loaded.problems.join("; ") : "");
  return loaded.bundle;
}

export const bundle: TrustBundle = bundleOf(pki.rawBundle());

export const anyOfShop: Expected = { kind: "projects", projects: new Set(["shop"]) };
export const cart: Expected = { kind: "pod", project: "shop", serviceAccount: "cart", podUid: "uid-of-cart-1" };
export const theCa: Expected = { kind: "control-plane", project: "tencrypt-ca", serviceAccount: "tencrypt-ca" };

export const leafOf = (options: Partial<LeafOptions> = {}): readonly Uint8Array[] =>
  pki.issueLeaf({ project: "shop", serviceAccount: "cart", ...options }).chain;

/** A good leaf of shop's cart, asked for by anybody of shop, unless `changes` say otherwise. */
export const judge = (changes: Partial<Verification> = {}): Peer | Refusal =>
  verify({
    chain: leafOf(),
    now,
    expected: anyOfShop,
    bundle,
    openssl: { kind: "trusted" },
    maxLeafLifetimeMs: 2 * day,
    ...changes,
  });

export type Row = readonly [what: string, reason: Reason, detail: RegExp, changes: () => Partial<Verification>];

/** One test a row: what is bent, the exact reason, and the detail that shows that the rule itself has spoken. */
export function refusals(title: string, rows: readonly Row[]): void {
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

/** What `judge` takes, for a leaf of shop's cart that is bent. */
export const leaf = (options: Partial<LeafOptions>) => (): Partial<Verification> => ({ chain: leafOf(options) });
export const edited = (edit: Edit): (() => Partial<Verification>) => leaf({ edit });
export const uri = "spiffe://cluster.local/ns/shop/sa/cart";
