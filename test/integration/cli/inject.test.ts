/** `tencrypt inject` beside a control plane of another version, and of many manifests. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { newRoot } from "../../../ca/issue/authority.ts";
import { injectFile } from "../../../cli/commands/inject.ts";
import { version } from "../../../lib/version.ts";
import { startFakeApi } from "./fake-api.ts";
import { recordScreen } from "./screen.ts";

const settings = {
  TENCRYPT_INIT_IMAGE: "x/init:1",
  TENCRYPT_PROXY_IMAGE: "x/proxy:1",
  TENCRYPT_TRUST_DOMAIN: "cluster.local",
  TENCRYPT_CA_ADDRESS: "tencrypt-ca.tencrypt-ca.svc:15012",
};
const root = newRoot(Date.now()).certificate;

const objectsOf = (image: string): Readonly<Record<string, object>> => ({
  "/apis/apps/v1/namespaces/tencrypt-system/deployments/tencrypt-controller": {
    metadata: { name: "tencrypt-controller" },
    spec: {
      template: {
        spec: { containers: [{ image, env: Object.entries(settings).map(([name, value]) => ({ name, value })) }] },
      },
    },
  },
  "/api/v1/namespaces/tencrypt-ca/configmaps/tencrypt-root": { data: { "ca.crt": root } },
  "/api/v1/namespaces/shop": { metadata: { name: "shop", labels: { "tencrypt.io/project": "enabled" } } },
});

async function inject(t: TestContext, image: string, manifests: string, absent = "") {
  const objects = Object.fromEntries(
    Object.entries(objectsOf(image)).filter(([path]) => !path.endsWith(absent || "/")),
  );
  const asked: string[] = [];
  const { kubeconfig } = await startFakeApi(t, (path) => {
    asked.push(path);
    return objects[path];
  });
  const file = join(dirname(kubeconfig), "manifests.yaml");
  writeFileSync(file, manifests);
  const { screen, written } = recordScreen(80);
  const code = await injectFile(file, { kubeconfig }, screen);
  return { code, ...written, asked };
}

const pod = (name: string): string =>
  `kind: Pod\nmetadata: {name: ${name}, namespace: shop}\nspec: {containers: [{name: a, image: b}]}\n`;

test("says that a webhook of another version may make another pod of it", async (t) => {
  const { code, data, notes } = await inject(t, "x/control-plane:9.9.9", pod("web"));
  assert.equal(code, 0);
  assert.match(data, /x\/proxy:1/);
  assert.equal(
    notes,
    `the installed controller is of version 9.9.9, this command of ${version}: its webhook may make other pods of these\n`,
  );
  assert.equal((await inject(t, `x/control-plane:${version}`, pod("web"))).notes, "");
});

test("asks for a namespace once, however many manifests are for it", async (t) => {
  const names = Array.from({ length: 20 }, (_, index) => `web-${index}`);
  const { data, asked } = await inject(t, `x/control-plane:${version}`, names.map(pod).join("---\n"));
  assert.equal(data.match(/name: tencrypt-proxy$/gm)?.length, names.length);
  assert.equal(asked.filter((path) => path === "/api/v1/namespaces/shop").length, 1);
});

test("without a published root is not told that nothing is installed", async (t) => {
  const image = `x/control-plane:${version}`;
  await assert.rejects(inject(t, image, pod("web"), "/configmaps/tencrypt-root"), /^Error: no root is published: /);
  await assert.rejects(inject(t, image, pod("web"), "/tencrypt-controller"), /^Error: Tencrypt is not installed /);
});

test("tells of annotations that mean nothing, as the webhook does", async (t) => {
  const annotated = (annotations: string): string =>
    `kind: Pod\nmetadata: {name: web, namespace: shop, annotations: {${annotations}}}\nspec: {containers: [{name: a}]}\n`;
  const { code, notes } = await inject(
    t,
    `x/control-plane:${version}`,
    `${annotated('tencrypt.io/mode: stricct, tencrypt.io/alow-from: "shop/web"')}---\n${annotated("tencrypt.io/mode: strict")}`,
  );
  assert.equal(code, 0);
  assert.equal(
    notes,
    'Pod/web: tencrypt.io/mode: "stricct" is none of permissive, project, strict\n' +
      "Pod/web: annotation tencrypt.io/alow-from means nothing on a pod\n",
  );
});
