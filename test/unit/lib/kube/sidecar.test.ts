/** Which pods count as protected: every one that injection makes, and none that somebody made to look like one. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parse } from "yaml";
import { findPod } from "../../../../lib/inject/manifest.ts";
import type { Container, Pod, PodSpec } from "../../../../lib/kube/objects.ts";
import { readSidecar } from "../../../../lib/kube/sidecar.ts";

const folder = join(import.meta.dirname, "../../../golden/inject");

const injected = (name: string): Pod => {
  const found = findPod(parse(readFileSync(join(folder, name), "utf8")));
  assert.ok(found.kind === "found", name);
  return found.pod as Pod;
};

describe("every pod that injection makes is protected", () => {
  const files = readdirSync(folder).filter(
    (name) => name.endsWith(".injected.yaml") && !readFileSync(join(folder, name), "utf8").startsWith("#"),
  );
  test("there are at least thirty of them", () => assert.ok(files.length >= 30, String(files.length)));
  for (const file of files) test(file, () => assert.equal(readSidecar(injected(file)).kind, "sidecar"));
});

const good = injected("plain.injected.yaml");
const [init, proxy] = good.spec.initContainers as readonly [Container, Container];
const [app] = good.spec.containers as readonly [Container];
const pod = (spec: Partial<PodSpec>): Pod => ({ ...good, spec: { ...good.spec, ...spec } });

function refused(cases: Readonly<Record<string, readonly [spec: Partial<PodSpec>, why: RegExp]>>): void {
  for (const [what, [spec, why]] of Object.entries(cases))
    test(what, () => {
      const reading = readSidecar(pod(spec));
      assert.match(reading.kind === "none" ? reading.why : "it counts as protected", why);
    });
}

describe("a pod in which a container could take the proxy's certificate is not protected", () => {
  const volume = (projected: object): Partial<PodSpec> => ({
    volumes: [...good.spec.volumes!, { name: "mine", projected }],
  });
  const token = (audience: string): object => ({ sources: [{ serviceAccountToken: { audience, path: "token" } }] });
  const taking = (name: string): Container => ({ ...app, volumeMounts: [{ name, mountPath: "/t" }] });
  refused({
    "a token for the ca in another volume": [volume(token("tencrypt-ca")), /volume mine holds a token for the ca/],
    "among others": [
      volume({ sources: [{ configMap: { name: "x" } }, { serviceAccountToken: { audience: "tencrypt-ca" } }] }),
      /volume mine holds a token/,
    ],
    "our token in the application": [{ containers: [taking("tencrypt-token")] }, /container app mounts a volume/],
    "our memory in the application": [{ containers: [taking("tencrypt-state")] }, /container app mounts a volume/],
    "our token in a later init container": [
      { initContainers: [init, proxy, { ...taking("tencrypt-token"), name: "later" }] },
      /container later mounts a volume/,
    ],
    "our token in an ephemeral container": [
      { ephemeralContainers: [{ ...taking("tencrypt-token"), name: "debug" }] },
      /container debug mounts a volume/,
    ],
  });

  test("a token of another audience is the application's business, unless the ca takes just that one", () => {
    const vault = pod(volume(token("vault")));
    assert.equal(readSidecar(vault).kind, "sidecar");
    assert.equal(readSidecar(vault, "vault").kind, "none");
  });
});
