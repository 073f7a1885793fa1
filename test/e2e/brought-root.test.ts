/**
 * A root of the user's own, in a namespace that is there already, as docs/operations.md says: pods stand under it, and what
 * was installed anew under it goes on with the pods that run.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { chart, releaseNamespace, valueArguments } from "../chart/helm.ts";
import { whyNoCluster } from "../cluster/cluster.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { Keys } from "../cluster/keys.ts";
import { Mesh } from "./kit.ts";

const why = whyNoCluster();
const values = { "ca.namespace.create": false, "ca.root.existingSecret": "corporate-root", "ca.leafTtl": "40s" };
const inRelease = ["-n", releaseNamespace];

describe("a root that was brought", why === null ? {} : { skip: why }, () => {
  let mesh: Mesh;
  let rootPem = "";

  const bring = async (cluster: Cluster): Promise<void> => {
    const folder = mkdtempSync(join(tmpdir(), "tencrypt-root-"));
    const { certificateFile, keyFile } = new Keys(folder).makeAuthority("corporate");
    rootPem = readFileSync(certificateFile, "utf8");
    await cluster.kubectl("create", "namespace", "tencrypt-ca");
    const files = [`--cert=${certificateFile}`, `--key=${keyFile}`];
    await cluster.kubectl("-n", "tencrypt-ca", "create", "secret", "tls", "corporate-root", ...files);
    rmSync(folder, { recursive: true });
  };

  before(async () => {
    mesh = await Mesh.start({ values, prepare: bring });
    await mesh.project("shop");
    await mesh.deploy("shop", "web");
    await mesh.pod("shop", "client");
  });
  after(() => mesh?.stop());

  const published = (): Promise<string> =>
    mesh.cluster.kubectl("-n", "tencrypt-ca", "get", "configmap", "tencrypt-root", "-o", "jsonpath={.data.ca\\.crt}");

  test("is the one that is published, and no other is made", async () => {
    assert.equal((await published()).trim(), rootPem.trim());
    const secrets = await mesh.cluster.kubectl("-n", "tencrypt-ca", "get", "secrets", "-o", "name");
    assert.doesNotMatch(secrets, /secret\/tencrypt-root/);
    assert.ok((await mesh.call("shop", "client", "http://web/")).ok);
  });

  test("carries running pods over an uninstallation: they renew under the new one", async () => {
    const gone = await mesh.cluster.helm("uninstall", "tencrypt", ...inRelease, "--wait");
    assert.equal(gone.code, 0, gone.stderr);
    assert.match(await mesh.cluster.kubectl("-n", "tencrypt-ca", "get", "secrets", "-o", "name"), /corporate-root/);
    const install = ["install", "tencrypt", chart, ...inRelease, "--wait", "--timeout=120s", ...valueArguments(values)];
    const { code, stderr } = await mesh.cluster.helm(...install);
    assert.equal(code, 0, stderr);
    assert.equal((await published()).trim(), rootPem.trim());
    const serials = async (): Promise<number> =>
      (await mesh.log("shop", "client")).filter(({ event }) => event === "certificate_received").length;
    const earlier = await serials();
    await eventually(async () => assert.ok((await serials()) > earlier), 60_000);
    assert.ok((await mesh.call("shop", "client", "http://web/")).ok);
  });
});
