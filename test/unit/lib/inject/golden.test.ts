/**
 * test/golden/inject: each `<case>.yaml` is a namespace and a manifest, `<case>.injected.yaml` what becomes of it.
 * `npm run golden` rewrites the latter. Whatever is injected is admitted, comes back, and stays the same when done again.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parseAllDocuments, stringify } from "yaml";
import type { InjectConfig } from "../../../../lib/inject/config.ts";
import { inject, strip } from "../../../../lib/inject/inject.ts";
import { findPod } from "../../../../lib/inject/manifest.ts";
import type { Found } from "../../../../lib/inject/manifest.ts";
import { explain } from "../../../../lib/inject/reasons.ts";
import { validateChange, validateNew } from "../../../../lib/inject/validate.ts";
import type { Namespace } from "../../../../lib/kube/objects.ts";
import { readSidecar } from "../../../../lib/kube/sidecar.ts";
import type { Pod } from "../../../../lib/kube/objects.ts";

const folder = join(import.meta.dirname, "../../../golden/inject");

const config: InjectConfig = {
  version: "0.1.0",
  trustDomain: "cluster.local",
  defaultMode: "project",
  initImage: "tencrypt/init:0.1.0",
  proxyImage: "tencrypt/proxy:0.1.0",
  imagePullPolicy: "IfNotPresent",
  proxyUid: 1337,
  caAddress: "tencrypt-ca.tencrypt-ca.svc:15012",
  directoryAddress: "tencrypt-controller.tencrypt-system.svc:15013",
  rootPem: "-----BEGIN CERTIFICATE-----\nroot\n-----END CERTIFICATE-----\n",
  rootPins: ["00".repeat(32)],
  maxLeafLifetime: "48h",
  otlpEndpoint: "http://collector.telemetry.svc:4318",
  requests: { cpu: "10m", memory: "64Mi" },
  limits: { memory: "256Mi" },
};

type Case = { readonly namespace: Namespace; readonly found: Found };

function read(name: string): Case {
  const [namespace, manifest] = parseAllDocuments(readFileSync(join(folder, `${name}.yaml`), "utf8")).map(
    (document): unknown => document.toJS(),
  );
  const found = findPod(manifest);
  assert.ok(found.kind === "found", name);
  return { namespace: namespace as Namespace, found };
}

function result({ namespace, found }: Case): string {
  const outcome = inject(found.pod, namespace, config);
  if (outcome.kind === "refused") return `# ${explain(outcome.report.reason, outcome.report.detail)}\n`;
  const head = outcome.kind === "skipped" ? `# ${explain(outcome.report.reason)}\n` : "";
  return head + stringify(found.with(outcome.pod), { lineWidth: 0, aliasDuplicateObjects: false });
}

const names = readdirSync(folder)
  .filter((file) => file.endsWith(".yaml") && !file.endsWith(".injected.yaml"))
  .map((file) => file.slice(0, -".yaml".length));

describe("injection, case by case", () => {
  test("there are at least forty cases, and no result without its case", () => {
    assert.ok(names.length >= 40, String(names.length));
    const results = readdirSync(folder).filter((file) => file.endsWith(".injected.yaml"));
    assert.deepEqual(results.map((file) => file.slice(0, -".injected.yaml".length)).toSorted(), names.toSorted());
  });

  for (const name of names) {
    const injected = join(folder, `${name}.injected.yaml`);
    if (process.env["GOLDEN"] === "update") writeFileSync(injected, result(read(name)));

    test(name, () => assert.equal(result(read(name)), readFileSync(injected, "utf8")));

    test(`${name}: admitted, and the same when done again`, () => {
      const { namespace, found } = read(name);
      const outcome = inject(found.pod, namespace, config);
      if (outcome.kind === "refused") {
        assert.equal(validateNew(found.pod, namespace, config).kind, "refused");
        return;
      }
      assert.deepEqual(validateNew(outcome.pod, namespace, config), { kind: "admitted" });
      assert.deepEqual(inject(outcome.pod, namespace, config), outcome);
      assert.deepEqual(validateChange(outcome.pod, outcome.pod), { kind: "admitted" });
      if (outcome.kind === "skipped") return;
      assert.equal(readSidecar(outcome.pod as Pod).kind, "sidecar");
      // The bare pod itself is no legitimate one.
      assert.equal(validateNew(strip(found.pod), namespace, config).kind, "refused");
    });
  }
});

describe("what a pod of a project may not be", () => {
  const { namespace, found } = read("plain");
  const outcome = inject(found.pod, namespace, config);
  assert.equal(outcome.kind, "injected");
  const good = (outcome as { readonly pod: Pod }).pod;
  const [init, proxy] = good.spec.initContainers!;
  const withInit = (...initContainers: readonly object[]): Pod =>
    ({ ...good, spec: { ...good.spec, initContainers } }) as Pod;
  const env = proxy!.env!.map((each) => (each.name === "TENCRYPT_MODE" ? { ...each, value: "permissive" } : each));

  const forged: Readonly<Record<string, readonly [pod: Pod, where: RegExp]>> = {
    "another image of the proxy": [
      withInit(init!, { ...proxy!, image: "evil/proxy:1" }),
      /\/spec\/initContainers\/1\/image/,
    ],
    "a looser floor": [withInit(init!, { ...proxy!, env }), /\/spec\/initContainers\/1\/env\/6\/value/],
    "the rules not set": [withInit(proxy!), /\/spec\/initContainers\/0/],
    "another container before ours": [
      withInit({ name: "first", image: "x" }, init!, proxy!),
      /\/spec\/initContainers\/0/,
    ],
    "a proxy that runs as root": [
      withInit(init!, { ...proxy!, securityContext: { ...proxy!.securityContext, runAsUser: 0 } }),
      /\/spec\/initContainers\/1\/securityContext\/runAsUser/,
    ],
    "other pins": [
      withInit(init!, { ...proxy!, env: proxy!.env!.filter(({ name }) => name !== "TENCRYPT_CA_ROOT_PINS") }),
      /\/spec\/initContainers\/1\/env/,
    ],
    "another root": [
      {
        ...good,
        metadata: { ...good.metadata, annotations: { ...good.metadata.annotations, "tencrypt.io/root": "x" } },
      },
      /\/annotations\/tencrypt.io\/root/,
    ],
    "the proxy's token in the application": [
      {
        ...good,
        spec: {
          ...good.spec,
          volumes: good.spec.volumes!.map((volume) =>
            volume.name === "tencrypt-token" ? { name: "tencrypt-token", emptyDir: {} } : volume,
          ),
        },
      },
      /\/spec\/volumes\/tencrypt-token/,
    ],
  };
  for (const [what, [pod, where]] of Object.entries(forged)) {
    test(what, () => {
      const verdict = validateNew(pod, namespace, config);
      assert.ok(verdict.kind === "refused", what);
      assert.equal(verdict.reason, "not_as_injected");
      assert.match(verdict.message, where);
    });
  }

  const addedLater: Readonly<Record<string, readonly [reason: string, spec: Partial<Pod["spec"]>]>> = {
    "a token for the ca that a later webhook adds": [
      "ca_token",
      {
        volumes: [
          ...good.spec.volumes!,
          {
            name: "mine",
            projected: { sources: [{ serviceAccountToken: { audience: "tencrypt-ca", path: "token" } }] },
          },
        ],
      },
    ],
    "the proxy's memory in the application": [
      "proxy_volume",
      {
        containers: [{ ...good.spec.containers[0]!, volumeMounts: [{ name: "tencrypt-state", mountPath: "/state" }] }],
      },
    ],
  };
  for (const [what, [reason, spec]] of Object.entries(addedLater)) {
    test(what, () => {
      const verdict = validateNew({ ...good, spec: { ...good.spec, ...spec } }, namespace, config);
      assert.equal(verdict.kind === "refused" && verdict.reason, reason);
    });
  }

  test("what a later webhook adds beside ours is admitted; resources may be filled in", () => {
    const container = { ...proxy!, resources: { limits: { cpu: "1" } } };
    const added = { name: "kube-api-access", projected: {} };
    const pod = withInit(init!, container, { name: "later", image: "x" });
    const spec = { ...pod.spec, volumes: [added, ...pod.spec.volumes!] };
    assert.deepEqual(validateNew({ ...pod, spec }, namespace, config), { kind: "admitted" });
  });

  const ephemeral = (container: object): Pod => ({
    ...good,
    spec: { ...good.spec, ephemeralContainers: [{ name: "debug", image: "x", ...container }] },
  });
  const taking: Readonly<Record<string, object>> = {
    "the proxy's UID": { securityContext: { runAsUser: 1337 } },
    "the proxy's processes": { targetContainerName: "tencrypt-proxy" },
    "what is left of init's": { targetContainerName: "tencrypt-init" },
    "the proxy's token": { volumeMounts: [{ name: "tencrypt-token", mountPath: "/t" }] },
    "the proxy's snapshot": { volumeMounts: [{ name: "tencrypt-state", mountPath: "/t" }] },
    "the power over the rules": { securityContext: { privileged: true } },
  };
  for (const [what, container] of Object.entries(taking)) {
    test(`an ephemeral container with ${what}`, () => {
      const verdict = validateChange(good, ephemeral(container));
      assert.equal(verdict.kind === "refused" && verdict.reason, "ephemeral_container");
    });
  }
  test("an ephemeral container without any of it is admitted", () => {
    assert.deepEqual(validateChange(good, ephemeral({ securityContext: { runAsUser: 5 } })), { kind: "admitted" });
  });

  test("an image of ours that is changed later is refused, one of the application admitted", () => {
    const verdict = validateChange(good, withInit(init!, { ...proxy!, image: "evil/proxy:1" }));
    assert.equal(verdict.kind === "refused" && verdict.reason, "not_as_injected");
    const containers = [{ ...good.spec.containers[0]!, image: "shop/cart:2" }];
    assert.deepEqual(validateChange(good, { ...good, spec: { ...good.spec, containers } }), { kind: "admitted" });
  });
});

describe("a pod that another replica of the controller injected", () => {
  const { namespace, found } = read("plain");
  const outcome = inject(found.pod, namespace, config);
  assert.equal(outcome.kind, "injected");
  const good = (outcome as { readonly pod: Pod }).pod;
  const upgraded: Readonly<Record<string, Partial<InjectConfig>>> = {
    version: { version: "0.2.0" },
    image: { proxyImage: "tencrypt/proxy:0.2.0" },
    settings: { otlpEndpoint: null },
    root: { rootPem: "another" },
  };
  for (const [what, changes] of Object.entries(upgraded)) {
    test(`with another ${what}, is worth another try`, () => {
      const verdict = validateNew(good, namespace, { ...config, ...changes });
      assert.ok(verdict.kind === "refused");
      assert.equal(verdict.reason, "upgrade_under_way");
      assert.match(
        verdict.message,
        /injected by 0\.1\.0\+[0-9a-f]{12}, validated by 0\.[12]\.0\+[0-9a-f]{12}.*try again/,
      );
    });
  }
  test("with other requests and limits, is as good", () => {
    assert.deepEqual(validateNew(good, namespace, { ...config, requests: {}, limits: { cpu: "1" } }), {
      kind: "admitted",
    });
  });
});
