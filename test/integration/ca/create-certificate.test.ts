// CreateCertificate over real gRPC and TLS: what a caller gets, what it is refused with, and what the audit trail says.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "node:tls";
import type { TLSSocket } from "node:tls";
import { inspect } from "node:util";
import { Metadata, credentials, status } from "@grpc/grpc-js";
import { IstioCertificateServiceClient } from "../../../lib/proto/gen/istio/v1/auth/ca.ts";
import { createCsr } from "../../../lib/x509/csr.ts";
import { loadBundle } from "../../../lib/trust/bundle.ts";
import { verify } from "../../../lib/x509/verify.ts";
import { general, generateKey } from "../../pki/certificate.ts";
import { boolean, sequence } from "../../pki/der-writer.ts";
import { createPki } from "../../pki/pki.ts";
import { asking, askingForUri, extension, requestPem, subjectAltName } from "../../pki/request.ts";
import { claimsOf, newTokenKey, sign, tokenFor } from "../../tokens/tokens.ts";
import { cart, cleanUp, issued, newCsr, newKey, newStore, startCa, trustDomain } from "./running-ca.ts";
import type { Outcome, TestCa } from "./running-ca.ts";

const cartUri = "spiffe://cluster.local/ns/shop/sa/cart";

const issuedChain = (outcome: Outcome): string[] => issued(outcome).certChain;

const derOf = (pem: string): Uint8Array => new Uint8Array(new X509Certificate(pem).raw);
const lifetimeOf = (pem: string): number => {
  const certificate = new X509Certificate(pem);
  return (certificate.validToDate.getTime() - certificate.validFromDate.getTime()) / 1000;
};

void test("a pod gets leaf, project CA and root for its own key, and they pass the verifier and openssl", async (t) => {
  const ca = await startCa(t);
  const key = newKey();
  const outcome = await ca.create({ csr: createCsr(key) });
  const chain = issuedChain(outcome);
  assert.equal(chain.length, 3);
  assert.ok(new X509Certificate(chain[0]!).checkPrivateKey(key));
  const bundle = await ca.watch().until(({ projects }) => projects.length === 1);
  assert.equal(bundle.version, issued(outcome).bundleVersion);
  const parts = {
    version: bundle.version,
    trustDomain,
    roots: bundle.roots,
    projects: bundle.projects.map(({ name, namespaceUid, authorities }) => ({ name, uid: namespaceUid, authorities })),
    denied: [],
  };
  const loaded = loadBundle(parts);
  assert.ok(loaded.kind === "bundle", inspect(loaded));
  const verdict = verify({
    chain: chain.map(derOf),
    now: Date.now(),
    expected: { kind: "pod", project: "shop", serviceAccount: "cart", podUid: "9f3e" },
    bundle: loaded.bundle,
    openssl: { kind: "not-asked" },
    maxLeafLifetimeMs: 86_400_000,
  });
  assert.ok(verdict.kind === "peer", inspect(verdict));
  assert.deepEqual(
    [verdict.uri, verdict.pod?.namespaceUid, verdict.pod?.pod],
    [cartUri, bundle.projects[0]!.namespaceUid, "cart-1"],
  );
  const files = chain.map((pem, index) => {
    writeFileSync(join(ca.store, `chain-${index}.pem`), pem);
    return join(ca.store, `chain-${index}.pem`);
  });
  execFileSync("openssl", ["verify", "-x509_strict", "-CAfile", files[2]!, "-untrusted", files[1]!, files[0]!]);
});

void test("each issuance has its audit line", async (t) => {
  const ca = await startCa(t);
  const outcome = await ca.create();
  const [leaf] = issuedChain(outcome);
  const [line, ...more] = ca.events("certificate_issued");
  assert.equal(more.length, 0);
  const { time: _time, ...fields } = line!;
  const certificate = new X509Certificate(leaf!);
  assert.deepEqual(fields, {
    level: "info",
    event: "certificate_issued",
    serial: certificate.serialNumber.toLowerCase(),
    caller: cartUri,
    pod: "cart-1",
    podUid: "9f3e",
    source: "127.0.0.1",
    notAfter: certificate.validToDate.toISOString(),
    bundleVersion: issued(outcome).bundleVersion.toString(),
  });
});

for (const [asked, got] of [
  [0n, 3600],
  [10n, 10],
  [60n, 60],
  [3600n, 3600],
  [1_000_000n, 3600],
] as const) {
  void test(`of a CA with leaves of 1 h, a caller that asks for ${asked} s gets ${got} s`, async (t) => {
    const ca = await startCa(t, { env: { TENCRYPT_LEAF_TTL: "1h" } });
    assert.equal(lifetimeOf(issuedChain(await ca.create({ validityDuration: asked }))[0]!), got);
  });
}

void test("requests as ztunnel sends them are served", async (t) => {
  const ca = await startCa(t);
  const key = generateKey("p256");
  const [leaf] = issuedChain(
    await ca.create({ csr: requestPem({ key, attributes: askingForUri(cartUri) }), validityDuration: 86_400n }),
  );
  assert.equal(new X509Certificate(leaf!).subjectAltName, `URI:${cartUri}`);
});

const texts = {
  [status.INVALID_ARGUMENT]: "the request is not acceptable",
  [status.UNAUTHENTICATED]: "the caller could not be authenticated",
  [status.PERMISSION_DENIED]: "the caller may not have this",
} as Readonly<Record<number, string>>;

type Attempt = (ca: TestCa) => Promise<Outcome>;
const withClaims =
  (changes: Record<string, unknown>): Attempt =>
  (ca) =>
    ca.create({}, sign(ca.tokenKey, { ...claimsOf(cart), ...changes }));
const withCsr =
  (csr: () => string): Attempt =>
  (ca) =>
    ca.create({ csr: csr() });
/** BasicConstraints with cA true. */
const isCa = extension("2.5.29.19", true, sequence(boolean(true)));
const past = Math.floor(Date.now() / 1000) - 10;

const refusals: Readonly<Record<string, readonly [number, string, Attempt]>> = {
  "no token": [status.UNAUTHENTICATED, "token_missing", (ca) => ca.create({}, null)],
  "garbage as token": [status.UNAUTHENTICATED, "token_malformed", (ca) => ca.create({}, "garbage")],
  "an expired token": [
    status.UNAUTHENTICATED,
    "token_expired",
    withClaims({ iat: past - 60, nbf: past - 60, exp: past }),
  ],
  "a foreign audience": [
    status.UNAUTHENTICATED,
    "token_wrong_audience",
    withClaims({ aud: ["https://kubernetes.default.svc"] }),
  ],
  "a further audience": [status.UNAUTHENTICATED, "token_wrong_audience", withClaims({ aud: ["tencrypt-ca", "vault"] })],
  "another issuer": [status.UNAUTHENTICATED, "token_wrong_issuer", withClaims({ iss: "https://elsewhere.test" })],
  "another issuer's key": [
    status.UNAUTHENTICATED,
    "token_bad_signature",
    (ca) => ca.create({}, tokenFor(newTokenKey(), cart)),
  ],
  "alg none": [
    status.UNAUTHENTICATED,
    "token_bad_algorithm",
    (ca) => ca.create({}, sign(ca.tokenKey, claimsOf(cart), { alg: "none", kid: "key-1" })),
  ],
  "a token without pod": [
    status.UNAUTHENTICATED,
    "token_not_of_a_pod",
    withClaims({ "kubernetes.io": { namespace: "shop" } }),
  ],
  "another identity": [
    status.PERMISSION_DENIED,
    "csr_other_identity",
    withCsr(() => requestPem({ attributes: askingForUri("spiffe://cluster.local/ns/other/sa/cart") })),
  ],
  metadata: [
    status.PERMISSION_DENIED,
    "metadata_refused",
    (ca) => ca.create({ metadata: [Buffer.from("0a00", "hex")] }),
  ],
  "empty metadata": [status.PERMISSION_DENIED, "metadata_refused", (ca) => ca.create({ metadata: [Buffer.alloc(0)] })],
  "a negative validity": [status.INVALID_ARGUMENT, "bad_validity", (ca) => ca.create({ validityDuration: -1n })],
  "a validity of 9 s": [status.INVALID_ARGUMENT, "bad_validity", (ca) => ca.create({ validityDuration: 9n })],
  "no request": [status.INVALID_ARGUMENT, "csr_malformed", withCsr(() => "")],
  "5 KB of request": [status.INVALID_ARGUMENT, "csr_malformed", withCsr(() => newCsr() + " ".repeat(5_000))],
  "an RSA key": [status.INVALID_ARGUMENT, "csr_bad_key", withCsr(() => requestPem({ key: generateKey("rsa") }))],
  // Small enough to be broken by whoever sees the certificate.
  "an RSA key of 512 bits": [
    status.INVALID_ARGUMENT,
    "csr_bad_key",
    withCsr(() => requestPem({ key: generateKey("rsa-512"), attributes: askingForUri(cartUri) })),
  ],
  "a certificate of a CA": [
    status.PERMISSION_DENIED,
    "csr_asks_too_much",
    withCsr(() => requestPem({ attributes: asking(isCa) })),
  ],
  "a certificate of a CA, beside the own name": [
    status.PERMISSION_DENIED,
    "csr_asks_too_much",
    withCsr(() => requestPem({ attributes: asking(subjectAltName(true, general.uri(cartUri)), isCa) })),
  ],
};

for (const [what, [code, reason, attempt]] of Object.entries(refusals)) {
  void test(`refused with a fixed text and a full audit line: ${what}`, async (t) => {
    const ca = await startCa(t);
    assert.deepEqual(await attempt(ca), { kind: "refused", code, details: texts[code] });
    const [line, ...more] = ca.events("certificate_refused");
    assert.equal(more.length, 0);
    assert.deepEqual([line?.["reason"], line?.["source"]], [reason, "127.0.0.1"]);
    assert.ok(typeof line?.["detail"] === "string" && line["detail"] !== "");
    // Nobody is named before the token proved it.
    const proven = code !== status.UNAUTHENTICATED;
    assert.deepEqual([line["caller"], line["podUid"]], proven ? [cartUri, "9f3e"] : [null, null]);
    assert.deepEqual(ca.events("certificate_issued"), []);
  });
}

void test("bytes that are no request are refused like every other bad request", async (t) => {
  const ca = await startCa(t);
  const client = new IstioCertificateServiceClient(
    `127.0.0.1:${ca.ca.port}`,
    credentials.createSsl(Buffer.from(ca.rootPem())),
    { "grpc.ssl_target_name_override": "localhost" },
  );
  cleanUp(t, () => client.close());
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${ca.token()}`);
  const error = await new Promise<{ code: number; details: string } | null>((resolve) => {
    client.makeUnaryRequest(
      "/istio.v1.auth.IstioCertificateService/CreateCertificate",
      () => Buffer.from("ffffffff", "hex"),
      () => null,
      {},
      metadata,
      resolve,
    );
  });
  assert.deepEqual([error?.code, error?.details], [status.INVALID_ARGUMENT, "the request is not acceptable"]);
  assert.equal(ca.events("certificate_refused")[0]?.["reason"], "request_malformed");
});

void test("a source beyond its rate is refused, and its lines in the log are bounded", async (t) => {
  const ca = await startCa(t, { env: { TENCRYPT_CA_RATE_LIMIT: "1", TENCRYPT_CA_RATE_BURST: "3" } });
  const outcomes: Outcome[] = [];
  for (let call = 0; call < 250; call++) outcomes.push(await ca.create({ csr: "" }));
  const limited = outcomes.filter(
    (outcome) =>
      outcome.kind === "refused" &&
      outcome.code === status.RESOURCE_EXHAUSTED &&
      outcome.details === "too many requests",
  );
  assert.ok(limited.length >= 240, `${limited.length} limited`);
  assert.deepEqual(
    outcomes.slice(0, 3).map((outcome) => outcome.kind === "refused" && outcome.code),
    [status.INVALID_ARGUMENT, status.INVALID_ARGUMENT, status.INVALID_ARGUMENT],
  );
  const lines = ca.events("certificate_refused");
  assert.ok(lines.length < 200 && lines.some((line) => line["reason"] === "rate_limited"), `${lines.length} lines`);
});

void test("a pod that was revoked gets nothing, another of the same account does", async (t) => {
  const ca = await startCa(t);
  await ca.create();
  const stream = ca.watch();
  await stream.until(({ projects }) => projects.length === 1);
  writeFileSync(join(ca.store, "projects/shop/denied"), "# stolen\n9f3e\n");
  await stream.until(({ denied }) => denied.length === 1);
  assert.deepEqual(await ca.create(), {
    kind: "refused",
    code: status.PERMISSION_DENIED,
    details: texts[status.PERMISSION_DENIED],
  });
  assert.equal(ca.events("certificate_refused")[0]?.["reason"], "pod_denied");
  issuedChain(await ca.create({}, ca.token({ ...cart, pod: "cart-2", podUid: "other" })));
});

void test("a pod that was revoked does not get the first certificate of the project's next CA either", async (t) => {
  const ca = await startCa(t);
  await ca.create();
  const stream = ca.watch();
  writeFileSync(join(ca.store, "projects/shop/denied"), "9f3e\n");
  await stream.until(({ denied }) => denied.length === 1);
  for (const file of ["tls.crt", "tls.key"]) rmSync(join(ca.store, "projects/shop", file));
  await stream.until(({ projects }) => projects.length === 0);
  assert.equal((await ca.create()).kind, "refused");
  assert.equal(ca.events("certificate_refused").at(-1)?.["reason"], "pod_denied");
  issuedChain(await ca.create({}, ca.token({ ...cart, pod: "cart-2", podUid: "other" })));
});

void test("without its key set the ca refuses everybody and makes nothing up; with it back, it serves", async (t) => {
  const ca = await startCa(t);
  rmSync(ca.jwksFile);
  assert.deepEqual(await ca.create(), {
    kind: "refused",
    code: status.UNAVAILABLE,
    details: "not possible now, try again",
  });
  assert.equal(ca.events("certificate_refused")[0]?.["reason"], "token_keys_unavailable");
});

void test("a project whose CA was damaged gets no leaf, others do", async (t) => {
  const ca = await startCa(t);
  issuedChain(await ca.create());
  writeFileSync(join(ca.store, "projects/shop/tls.key"), "damaged");
  assert.deepEqual(await ca.create(), {
    kind: "refused",
    code: status.UNAVAILABLE,
    details: "not possible now, try again",
  });
  assert.equal(ca.events("certificate_refused")[0]?.["reason"], "issuer_unusable");
  issuedChain(await ca.create({}, ca.token({ ...cart, project: "billing" })));
});

void test("an RSA root of the operator signs the whole tree", async (t) => {
  const store = newStore(t);
  const { root } = createPki({ projects: [], rootKeyType: "rsa" });
  writeFileSync(join(store, "root.pem"), root.pem);
  writeFileSync(join(store, "root.key"), root.keyPem);
  const ca = await startCa(t, { store });
  const chain = issuedChain(await ca.create());
  assert.deepEqual(derOf(chain[2]!), new Uint8Array(root.der));
});

void test("a namespace whose uid is known beforehand has it in leaf and bundle", async (t) => {
  const store = newStore(t);
  mkdirSync(join(store, "projects/shop"), { recursive: true });
  writeFileSync(join(store, "projects/shop/uid"), "b1c0");
  const ca = await startCa(t, { store });
  issuedChain(await ca.create());
  assert.equal((await ca.watch().until(({ projects }) => projects.length === 1)).projects[0]!.namespaceUid, "b1c0");
});

function dial(port: number, ca: string, maxVersion: "TLSv1.2" | "TLSv1.3"): Promise<TLSSocket | Error> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", ca, servername: "localhost", ALPNProtocols: ["h2"], maxVersion });
    socket.once("secureConnect", () => resolve(socket)).once("error", resolve);
  });
}

void test("the ca speaks TLS 1.3 only, and its certificate passes as the ca's own under the control-plane CA", async (t) => {
  const ca = await startCa(t);
  const old = await dial(ca.ca.port, ca.rootPem(), "TLSv1.2");
  assert.equal(
    old instanceof Error ? (old as NodeJS.ErrnoException).code : "connected",
    "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
  );
  const socket = await dial(ca.ca.port, ca.rootPem(), "TLSv1.3");
  assert.ok(!(socket instanceof Error), "refused");
  const leaf = socket.getPeerX509Certificate()!;
  socket.destroy();
  const loaded = loadBundle({ version: 0n, trustDomain, roots: [derOf(ca.rootPem())], projects: [], denied: [] });
  assert.ok(loaded.kind === "bundle");
  const verdict = verify({
    chain: [leaf.raw, leaf.issuerCertificate!.raw],
    now: Date.now(),
    expected: { kind: "control-plane", project: "tencrypt-ca", serviceAccount: "tencrypt-ca" },
    bundle: loaded.bundle,
    openssl: { kind: "trusted" },
    maxLeafLifetimeMs: 86_400_000,
  });
  assert.equal(
    verdict.kind === "peer" ? verdict.uri : verdict.reason,
    "spiffe://cluster.local/ns/tencrypt-ca/sa/tencrypt-ca",
  );
  assert.equal(
    leaf.subjectAltName,
    "URI:spiffe://cluster.local/ns/tencrypt-ca/sa/tencrypt-ca, DNS:localhost, IP Address:127.0.0.1",
  );
});

void test("no token, no private key and no part of one is ever logged", async (t) => {
  const ca = await startCa(t);
  const key = newKey();
  const token = ca.token();
  await ca.create({ csr: createCsr(key) }, token);
  await ca.create({ csr: key.export({ type: "pkcs8", format: "pem" }) }, token);
  await ca.create({}, token.slice(0, -4));
  await ca.create({}, `${token}.x`);
  const secrets = [
    ...token.split("."),
    ...key
      .export({ type: "pkcs8", format: "pem" })
      .split("\n")
      .filter((line) => line.length > 20 && !line.startsWith("-")),
    "PRIVATE KEY",
  ];
  assert.equal(ca.events("certificate_refused").length, 3);
  for (const secret of secrets) assert.ok(!ca.text().includes(secret.slice(0, 40)), secret);
});
