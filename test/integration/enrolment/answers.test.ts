/**
 * A ca that answers wrongly, over real TLS with a certificate that is believed: whatever chain it sends, only the one for our
 * key, name and pod, of our project's CA, in its time and of a reasonable size becomes the certificate in use.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { importKey } from "../../../lib/x509/algorithms.ts";
import { readCsr } from "../../../ca/issue/csr.ts";
import { systemClock } from "../../../lib/clock/clock.ts";
import { IdentityAgent } from "../../../lib/enrolment/agent.ts";
import { createCaClient } from "../../../lib/enrolment/ca-client.ts";
import { readTrust } from "../../../lib/enrolment/root-file.ts";
import type { Fields } from "../../../lib/log/log.ts";
import { IstioCertificateServiceService } from "../../../lib/proto/gen/istio/v1/auth/ca.ts";
import type { IstioCertificateServiceServer } from "../../../lib/proto/gen/istio/v1/auth/ca.ts";
import { TrustBundleService } from "../../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import type { TrustBundleServer } from "../../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import { createPki, day, generateKey, hour, withExtension } from "../../pki/pki.ts";
import type { KeyPair, Leaf, LeafOptions } from "../../pki/pki.ts";
import { cleanUp } from "../ca/running-ca.ts";

const own = { project: "shop", serviceAccount: "cart", podUid: "uid-of-cart-1" } as const;
const projects = [
  { name: "shop", uid: "uid-shop" },
  { name: "billing", uid: "uid-billing" },
];
const pki = createPki({ projects });
/** Of the same names, under a root of its own. */
const foreign = createPki({ projects });

type Answer = (key: KeyPair) => readonly string[];

const pems = ({ pem }: Leaf, ...more: readonly string[]): readonly string[] => [pem, ...more];
const withIssuer = (options: Partial<LeafOptions>, from = pki): Answer => {
  return (key) => pems(from.issueLeaf({ ...own, key, ...options }), from.project(options.project ?? own.project).pem);
};

/** Answers every request with that chain, and streams the true bundle. */
async function startServer(t: TestContext, answer: Answer): Promise<number> {
  const server = new Server();
  const createCertificate: IstioCertificateServiceServer["createCertificate"] = ({ request }, callback) => {
    const read = readCsr(request.csr, `spiffe://${pki.trustDomain}/ns/${own.project}/sa/${own.serviceAccount}`);
    if (read.kind !== "csr") return callback(new Error(read.kind));
    // The private half is not known here, and not used.
    const key: KeyPair = {
      ...generateKey("p256"),
      publicKey: importKey({ der: read.publicKey })!,
    };
    callback(null, { certChain: [...answer(key)], bundleVersion: 1n });
  };
  const watch: TrustBundleServer["watch"] = (call) => {
    const { roots, projects: listed } = pki.rawBundle();
    call.write({
      version: 1n,
      roots: roots.map((der) => Buffer.from(der)),
      projects: listed.map(({ name, uid, authorities }) => ({
        name,
        namespaceUid: uid,
        authorities: authorities.map((der) => Buffer.from(der)),
      })),
      denied: [],
    });
  };
  server.addService(IstioCertificateServiceService, { createCertificate });
  server.addService(TrustBundleService, { watch });
  const { chainPem, keyPem } = pki.issueControlPlane({ project: "tencrypt-ca", serviceAccount: "tencrypt-ca" });
  const serving = ServerCredentials.createSsl(null, [
    { cert_chain: Buffer.from(chainPem), private_key: Buffer.from(keyPem) },
  ]);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", serving, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  cleanUp(t, () => server.forceShutdown());
  return port;
}

type Outcome = { readonly event: string; readonly fields: Fields };

/** What the first answer leads to. */
async function enrol(t: TestContext, answer: Answer): Promise<{ agent: IdentityAgent; outcome: Outcome }> {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-answers-"));
  cleanUp(t, () => rmSync(folder, { recursive: true }));
  const [tokenFile, file] = [join(folder, "token"), join(folder, "root.pem")];
  writeFileSync(tokenFile, "a token");
  writeFileSync(file, pki.root.pem);
  const address = `127.0.0.1:${await startServer(t, answer)}`;
  const { trustDomain } = pki;
  const maxLeafLifetimeMs = 2 * day;
  const outcome = Promise.withResolvers<Outcome>();
  const agent = new IdentityAgent({
    own: { trustDomain, ...own },
    maxLeafLifetimeMs,
    readTrust: () => readTrust({ file, pins: [], trustDomain }),
    connect: (trust) => createCaClient({ address, tokenFile, maxLeafLifetimeMs, clock: systemClock }, trust),
    clock: systemClock,
    random: () => 0.5,
    log: (_level, event, fields = {}) => {
      if (event.startsWith("certificate_")) outcome.resolve({ event, fields });
    },
  });
  cleanUp(t, () => agent.stop());
  agent.start();
  return { agent, outcome: await outcome.promise };
}

const large = (bytes: number): Partial<LeafOptions> => ({
  edit: (parts) => withExtension(parts, { oid: "1.3.6.1.4.1.99999.1", critical: false, value: new Uint8Array(bytes) }),
});
const now = Date.now();

const refused: Readonly<Record<string, readonly [Answer, RegExp]>> = {
  "no certificate": [() => [], /not for our key/],
  "no PEM": [() => ["-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n"], /./],
  "one for somebody else's key": [() => withIssuer({})(generateKey("p256")), /not for our key/],
  "another pod's": [withIssuer({ podUid: "uid-of-cart-2" }), /wrong_pod/],
  "another account's": [withIssuer({ serviceAccount: "web" }), /refused/],
  "another project's": [withIssuer({ project: "billing" }), /refused/],
  "one of an earlier namespace": [withIssuer({ namespaceUid: "uid-earlier" }), /refused/],
  "our name by another project's CA": [withIssuer({ issuer: pki.project("billing") }), /refused/],
  "our name by the control plane's CA": [
    (key) => pems(pki.issueLeaf({ ...own, key, issuer: pki.controlPlane }), pki.controlPlane.pem),
    /refused/,
  ],
  "one of a foreign root": [withIssuer({}, foreign), /refused/],
  "one that has ended": [withIssuer({ notBefore: now - 3 * hour, notAfter: now - hour }), /expired/],
  "one that is not valid yet": [withIssuer({ notBefore: now + hour, notAfter: now + 2 * hour }), /not_yet_valid/],
  "one that is valid for too long": [withIssuer({ notAfter: now + 3 * day }), /refused/],
  "the leaf alone": [(key) => pems(pki.issueLeaf({ ...own, key })), /refused/],
  "a hundred certificates": [
    (key) => pems(pki.issueLeaf({ ...own, key }), ...Array.from({ length: 99 }, () => pki.project("shop").pem)),
    /refused/,
  ],
  "a leaf of 1 MB": [withIssuer(large(1_000_000)), /refused/],
  "more than a message may hold": [withIssuer(large(4_000_000)), /RESOURCE_EXHAUSTED/],
};

test("the chain that it should send is taken", async (t) => {
  const { agent, outcome } = await enrol(t, withIssuer({}));
  assert.equal(outcome.event, "certificate_received", JSON.stringify(outcome));
  assert.ok(agent.current() !== null);
});

for (const [what, [answer, why]] of Object.entries(refused))
  test(`${what} is refused, and the log says why`, async (t) => {
    const { agent, outcome } = await enrol(t, answer);
    assert.equal(outcome.event, "certificate_renewal_failed", JSON.stringify(outcome));
    assert.match(String(outcome.fields["error"]), why);
    assert.equal(agent.current(), null);
  });
