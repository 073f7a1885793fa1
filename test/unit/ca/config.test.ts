// Settings of the ca: all problems at once, and nothing that this version cannot do is silently something else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "../../../ca/config.ts";
import { SettingsError } from "../../../lib/config/settings.ts";
import type { Environment } from "../../../lib/config/settings.ts";

const good = {
  TENCRYPT_CA_LISTEN: "127.0.0.1:0",
  TENCRYPT_TRUST_DOMAIN: "cluster.local",
  TENCRYPT_AUTHENTICATOR: "jwks",
  TENCRYPT_JWKS_FILE: "/keys.json",
  TENCRYPT_TOKEN_ISSUER: "https://issuer.test",
  TENCRYPT_CA_STORE: "/store",
};

function problemsOf(env: Environment): readonly string[] {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    assert.ok(error instanceof SettingsError);
    return error.problems;
  }
}

void test("what is not set has the documented default", () => {
  assert.deepEqual(readConfig(good), {
    listen: { host: "127.0.0.1", port: 0 },
    metricsPort: null,
    trustDomain: "cluster.local",
    tokenAudience: "tencrypt-ca",
    authenticator: { kind: "jwks", file: "/keys.json", issuer: "https://issuer.test" },
    store: { kind: "folder", path: "/store" },
    servingNames: [],
    leafTtl: 86_400_000,
    rateLimit: { perSecond: 20, burst: 40 },
    logLevel: "info",
    unread: [],
  });
});

void test("names and addresses of the ca are told apart", () => {
  const { servingNames } = readConfig({ ...good, TENCRYPT_CA_SERVING_NAMES: "ca.tencrypt-ca.svc, 10.0.0.1,fd00::1" });
  assert.deepEqual(servingNames, [
    { kind: "dns", text: "ca.tencrypt-ca.svc" },
    { kind: "ip", bytes: Uint8Array.of(10, 0, 0, 1) },
    { kind: "ip", bytes: Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) },
  ]);
});

for (const [text, listen] of [
  ["[::1]:15012", { host: "::1", port: 15_012 }],
  ["localhost:15012", { host: "localhost", port: 15_012 }],
] as const) {
  void test(`listens on ${text}`, () =>
    assert.deepEqual(readConfig({ ...good, TENCRYPT_CA_LISTEN: text }).listen, listen));
}

for (const text of [
  "15012",
  "::1:15012",
  "[::1]",
  "[localhost]:1",
  "127.0.0.1:65536",
  "127.0.0.1:01",
  ":15012",
  "a b:1",
]) {
  void test(`refuses to listen on ${text}`, () => {
    assert.deepEqual(problemsOf({ ...good, TENCRYPT_CA_LISTEN: text }), [
      `TENCRYPT_CA_LISTEN is ${JSON.stringify(text)}: expected a host and a port such as 0.0.0.0:15012 or [::]:15012`,
    ]);
  });
}

void test("every missing setting is named at once", () => {
  const missing = problemsOf({}).map((problem) => problem.split(" ")[0]!);
  // What the authenticator needs depends on which it is.
  const always = ["TENCRYPT_AUTHENTICATOR", "TENCRYPT_CA_LISTEN", "TENCRYPT_CA_STORE", "TENCRYPT_TRUST_DOMAIN"];
  assert.deepEqual(missing.toSorted(), always);
  const ofJwks = problemsOf({ TENCRYPT_AUTHENTICATOR: "jwks" }).map((problem) => problem.split(" ")[0]!);
  assert.deepEqual(["TENCRYPT_AUTHENTICATOR", ...ofJwks].toSorted(), Object.keys(good).toSorted());
});

void test("an authenticator that there is not is the only problem: nothing is asked for another one's sake", () => {
  for (const store of ["/store", "kubernetes"]) {
    const env = { ...onKubernetes, TENCRYPT_AUTHENTICATOR: "kubernets", TENCRYPT_CA_STORE: store };
    assert.deepEqual(problemsOf(env), ['TENCRYPT_AUTHENTICATOR is "kubernets": expected one of kubernetes, jwks']);
  }
});

const onKubernetes = {
  ...good,
  TENCRYPT_AUTHENTICATOR: "kubernetes",
  TENCRYPT_JWKS_FILE: undefined,
  TENCRYPT_TOKEN_ISSUER: undefined,
  TENCRYPT_CA_STORE: "kubernetes",
};

void test("on Kubernetes the images of proxies are asked for, and the source is checked", () => {
  const { authenticator, store } = readConfig({
    ...onKubernetes,
    TENCRYPT_INIT_IMAGES: "a/init",
    TENCRYPT_PROXY_IMAGES: "a/proxy:1, b/proxy@sha256:00",
  });
  assert.deepEqual(authenticator, {
    kind: "kubernetes",
    initImages: ["a/init"],
    proxyImages: ["a/proxy:1", "b/proxy@sha256:00"],
    sourceCheck: "enforce",
  });
  assert.deepEqual(store, { kind: "kubernetes", namespace: "tencrypt-ca", broughtRoot: null });
  assert.deepEqual(problemsOf(onKubernetes), [
    "TENCRYPT_INIT_IMAGES is missing: expected comma-separated image names",
    "TENCRYPT_PROXY_IMAGES is missing: expected comma-separated image names",
  ]);
});

void test("Kubernetes for one of authenticator and store alone is refused", () => {
  const problem = "TENCRYPT_AUTHENTICATOR and TENCRYPT_CA_STORE are both kubernetes, or neither is";
  const images = { TENCRYPT_INIT_IMAGES: "a", TENCRYPT_PROXY_IMAGES: "a" };
  assert.deepEqual(problemsOf({ ...good, TENCRYPT_CA_STORE: "kubernetes" }), [problem]);
  assert.deepEqual(problemsOf({ ...onKubernetes, ...images, TENCRYPT_CA_STORE: "/store" }), [problem]);
});

for (const ttl of ["9s", "31d", "1", "-1h"]) {
  void test(`a leaf lifetime of ${ttl} is refused`, () => {
    assert.deepEqual(problemsOf({ ...good, TENCRYPT_LEAF_TTL: ttl }), [
      `TENCRYPT_LEAF_TTL is "${ttl}": expected a duration from 10s to 30d`,
    ]);
  });
}
