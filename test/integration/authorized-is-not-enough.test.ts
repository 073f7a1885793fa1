/**
 * Why there is a verifier: certificates that Node calls authorized on a real TLS 1.3 connection, and what ours says of
 * them. If a new Node refuses one of them by itself, its row fails and can go.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { suite, test } from "node:test";
import { connect, createServer } from "node:tls";
import type { TLSSocket } from "node:tls";
import type { Reason } from "../../lib/errors/reasons.ts";
import { loadBundle } from "../../lib/trust/bundle.ts";
import { verify } from "../../lib/x509/verify.ts";
import type { Peer, Refusal } from "../../lib/x509/verify.ts";
import { createPki, day, extensions, general, oids, withExtension, withoutExtension } from "../pki/pki.ts";
import type { Edit, Leaf, LeafOptions } from "../pki/pki.ts";

const pki = createPki({
  projects: [
    { name: "shop", uid: "uid-shop" },
    { name: "other", uid: "uid-other" },
  ],
});
const loaded = loadBundle(pki.rawBundle());
assert.equal(loaded.kind, "bundle");
const { bundle } = loaded;
const uri = "spiffe://cluster.local/ns/shop/sa/cart";

type Seen = { readonly authorized: boolean; readonly verdict: Peer | Refusal };

/** Connects with the certificate and tells what Node and what the verifier say of it on the server's side. */
async function present(client: Leaf): Promise<Seen> {
  const own = pki.issueLeaf({ project: "shop", serviceAccount: "server" });
  const server = createServer({
    cert: own.chainPem,
    key: own.keyPem,
    ca: pki.root.pem,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: "TLSv1.3",
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const secured = once(server, "secureConnection") as Promise<[TLSSocket]>;
  const { port } = server.address() as AddressInfo;
  const socket = connect({
    port,
    host: "127.0.0.1",
    cert: client.chainPem,
    key: client.keyPem,
    ca: pki.root.pem,
    checkServerIdentity: () => undefined,
  });
  socket.on("error", () => {});
  try {
    const [accepted] = await secured;
    accepted.on("error", () => {});
    const chain: Uint8Array[] = [];
    for (
      let each = accepted.getPeerX509Certificate();
      each !== undefined && chain.length < 4;
      each = each.issuerCertificate
    )
      chain.push(each.raw);
    const verdict = verify({
      chain,
      now: Date.now(),
      expected: { kind: "projects", projects: new Set(["shop"]) },
      bundle,
      openssl: accepted.authorized
        ? { kind: "trusted" }
        : { kind: "refused", code: String(accepted.authorizationError) },
      maxLeafLifetimeMs: 2 * day,
    });
    const seen = { authorized: accepted.authorized, verdict };
    accepted.destroy();
    return seen;
  } finally {
    socket.destroy();
    server.close();
  }
}

const edited = (edit: Edit): Partial<LeafOptions> => ({ edit });
const names = (...list: readonly Uint8Array[]): Partial<LeafOptions> =>
  edited((parts) => withExtension(parts, extensions.subjectAltName(true, ...list)));

const rows: readonly (readonly [what: string, options: Partial<LeafOptions>, reason: Reason])[] = [
  [
    "two URIs",
    names(general.uri(uri), general.uri("spiffe://cluster.local/ns/other/sa/cart")),
    "bad_subject_alternative_name",
  ],
  ["no name at all", edited((parts) => withoutExtension(parts, oids.subjectAltName)), "bad_subject_alternative_name"],
  ["a NUL inside of the URI", names(general.uri(`${uri}\0.evil`)), "bad_subject_alternative_name"],
  [
    "a second URI smuggled into the first",
    names(general.uri(`spiffe://cluster.local/ns/x/sa/y, URI:${uri}`)),
    "bad_subject_alternative_name",
  ],
  [
    "no extended key usage",
    edited((parts) => withoutExtension(parts, oids.extendedKeyUsage)),
    "bad_extended_key_usage",
  ],
  ["CA:TRUE", edited((parts) => withExtension(parts, extensions.basicConstraints(true))), "bad_basic_constraints"],
  ["shop's name from other's CA", { issuer: pki.project("other") }, "wrong_issuer"],
  ["shop's name from the control-plane CA", { issuer: pki.controlPlane }, "wrong_issuer"],
  ["a lifetime of a year", { notAfter: Date.now() + 300 * day }, "lifetime_too_long"],
  ["no pod", { podIdentity: null }, "no_pod_identity"],
  ["an earlier namespace's uid", { namespaceUid: "uid-earlier" }, "wrong_namespace_uid"],
  ["an RSA key", { keyType: "rsa" }, "bad_key"],
];

suite("authorized by Node, refused by us", () => {
  for (const [what, options, reason] of rows) {
    test(`${what}: ${reason}`, async () => {
      const { authorized, verdict } = await present(
        pki.issueLeaf({ project: "shop", serviceAccount: "cart", ...options }),
      );
      assert.equal(authorized, true);
      assert.equal(verdict.kind === "refusal" ? verdict.reason : "accepted", reason);
    });
  }
});

test("a good certificate passes both", async () => {
  const { authorized, verdict } = await present(pki.issueLeaf({ project: "shop", serviceAccount: "cart" }));
  assert.deepEqual([authorized, verdict.kind], [true, "peer"]);
});

test("a self-signed one is refused by both, and named so", async () => {
  const { authorized, verdict } = await present(pki.selfSigned({ project: "shop", serviceAccount: "cart" }));
  assert.equal(authorized, false);
  assert.equal(verdict.kind === "refusal" ? verdict.reason : "accepted", "untrusted_chain");
});
