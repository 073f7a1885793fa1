/** The settings that the chart gives to each program are such as the program reads, and all of them are usable. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { readConfig as readCa } from "../../ca/config.ts";
import { readConfig as readController } from "../../controller/config.ts";
import { answerMs } from "../../controller/webhook/server.ts";
import type { Environment } from "../../lib/config/settings.ts";
import { cases } from "./cases.ts";
import { chart } from "./helm.ts";
import { rendered } from "./rendered.ts";

type Variable = { readonly name: string; readonly value?: string; readonly valueFrom?: unknown };
type Deployment = {
  readonly template: { readonly spec: { readonly containers: readonly { readonly env: readonly Variable[] }[] } };
};

function environmentOf(caseName: string, deployment: string): Environment {
  const found = rendered(caseName).find(({ kind, metadata }) => kind === "Deployment" && metadata.name === deployment);
  assert.ok(found !== undefined);
  const { template } = found["spec"] as Deployment;
  const variables = template.spec.containers.flatMap(({ env }) => env);
  // What the kubelet fills in is a name or a uid.
  return Object.fromEntries(variables.map(({ name, value }) => [name, value ?? "filled-in-1"]));
}

/** Each gives the settings that it does not know. */
const readers: Readonly<Record<string, (env: Environment) => readonly string[]>> = {
  "tencrypt-ca": (env) => readCa(env).unread,
  "tencrypt-controller": (env) => readController(env).unread,
};

describe("the settings in the chart", () => {
  for (const [deployment, read] of Object.entries(readers)) {
    for (const name of Object.keys(cases)) {
      test(`of ${deployment} in case ${name} are known and usable`, () => {
        assert.deepEqual(read(environmentOf(name, deployment)), []);
      });
    }
  }

  test("have the API server wait for longer than the controller takes to answer, whatever is set", () => {
    const schema = JSON.parse(readFileSync(join(chart, "values.schema.json"), "utf8")) as {
      readonly properties: {
        readonly webhook: { readonly properties: { readonly timeoutSeconds: { readonly minimum: number } } };
      };
    };
    const { minimum } = schema.properties.webhook.properties.timeoutSeconds;
    assert.ok(minimum * 1_000 > answerMs);
    for (const name of Object.keys(cases)) {
      const webhooks = rendered(name)
        .filter(({ kind }) => kind.endsWith("WebhookConfiguration"))
        .flatMap((each) => each["webhooks"] as readonly { readonly timeoutSeconds: number }[]);
      assert.ok(webhooks.length > 0 && webhooks.every(({ timeoutSeconds }) => timeoutSeconds * 1_000 > answerMs), name);
    }
  });

  test("carry values to where they belong", () => {
    const ca = readCa(environmentOf("short-lived", "tencrypt-ca"));
    assert.equal(ca.leafTtl, 40_000);
    assert.deepEqual(ca.rateLimit, { perSecond: 1000, burst: 2000 });
    const tuned = readCa(environmentOf("tuned", "tencrypt-ca"));
    assert.deepEqual(tuned.rateLimit, { perSecond: 100, burst: 150 });
    assert.ok(tuned.authenticator.kind === "kubernetes");
    assert.equal(tuned.authenticator.sourceCheck, "warn");
    const { store } = readCa(environmentOf("brought-root", "tencrypt-ca"));
    assert.ok(store.kind === "kubernetes");
    assert.equal(store.broughtRoot, "corporate-root");
    const digests = readCa(environmentOf("digests", "tencrypt-ca"));
    assert.ok(digests.authenticator.kind === "kubernetes");
    assert.deepEqual(digests.authenticator.initImages, ["ghcr.io/tencrypt/init", "old.example.org/init:0.0.9"]);
    assert.deepEqual(digests.authenticator.proxyImages, ["ghcr.io/tencrypt/proxy", "old.example.org/proxy:0.0.9"]);
  });

  test("reach the controller, and through it the pods", () => {
    const tuned = readController(environmentOf("tuned", "tencrypt-controller"));
    assert.equal(tuned.proxyUid, 4200);
    assert.deepEqual(tuned.requests, { cpu: "1", memory: "1Gi" });
    assert.deepEqual(tuned.limits, { cpu: "1500m", memory: "2Gi" });
    assert.deepEqual(tuned.clusterRanges, ["10.0.0.0/8", "fd00::/48"]);
    assert.equal(tuned.otlpEndpoint, "http://collector.observability.svc:4318");
    const digests = readController(environmentOf("digests", "tencrypt-controller"));
    assert.match(digests.proxyImage, /^ghcr\.io\/tencrypt\/proxy:[0-9.]+@sha256:[0-9a-f]{64}$/);
    assert.equal(readController(environmentOf("permissive", "tencrypt-controller")).defaultMode, "permissive");
    assert.equal(readController(environmentOf("short-lived", "tencrypt-controller")).maxLeafLifetime, "172800s");
    assert.equal(readController(environmentOf("long-lived", "tencrypt-controller")).maxLeafLifetime, "5184000s");
  });
});
