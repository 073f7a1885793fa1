/**
 * A controller whose watches bring nothing: what it remembers of namespaces is as old as its start. Admission goes by what
 * a namespace is now.
 */
import assert from "node:assert/strict";
import { after, before, describe, mock, test } from "node:test";
import { KubeClient } from "../../../lib/kube/client.ts";
import type { Container } from "../../../lib/kube/objects.ts";
import { whyNoApiServer } from "../../cluster/api-server.ts";
import { review } from "./reviews.ts";
import type { Review } from "./reviews.ts";
import { Rig } from "./rig.ts";
import type { Controller } from "./rig.ts";

const why = whyNoApiServer();

let rig: Rig;
let controller: Controller;

before(async () => {
  if (why !== null) return;
  rig = await Rig.start();
  for (const name of ["late", "left"]) await rig.api.objects.namespace(name);
  await rig.project("shop");
  await change("shop", { annotations: { "tencrypt.io/mode": "permissive", "tencrypt.io/udp": "allow" } });
  await change("left", { labels: { "tencrypt.io/project": "enabled" } });
  mock.method(KubeClient.prototype, "open", () => new Promise(() => {}));
  controller = await rig.controller();
});
after(async () => {
  mock.restoreAll();
  await rig?.stop();
});

const change = (name: string, metadata: object): Promise<unknown> =>
  rig.api.admin.patch(`/api/v1/namespaces/${name}`, { metadata });

const pod = { metadata: { name: "web" }, spec: { containers: [{ name: "app", image: "x" }] } };
const ask = (path: string, namespace: string): Promise<Review> =>
  review(controller.webhook.port, path, { operation: "CREATE", namespace, object: pod });

/** The pod with what the answer puts in. */
const applied = (patch: Review["patch"]) => {
  const part = (path: string): unknown => patch.find((step) => step.path === path)?.value;
  const { annotations, ...spec } = {
    annotations: part("/metadata/annotations"),
    initContainers: part("/spec/initContainers"),
    volumes: part("/spec/volumes"),
  };
  return { metadata: { ...pod.metadata, annotations }, spec: { ...pod.spec, ...spec } };
};

const valueOf = (containers: readonly Container[], name: string): string | undefined =>
  containers.flatMap(({ env = [] }) => env).find((each) => each.name === name)?.value;

describe("a controller that has heard nothing since it started", why === null ? {} : { skip: why }, () => {
  test("injects pods of a namespace that has become a project since, and admits no others", async () => {
    await change("late", { labels: { "tencrypt.io/project": "enabled" } });
    const injected = await ask("/inject", "late");
    assert.deepEqual([injected.allowed, injected.message], [true, ""]);
    assert.ok(injected.patch.some(({ path }) => path === "/spec/initContainers"));
    const bare = await ask("/validate", "late");
    assert.equal(bare.allowed, false);
    assert.match(bare.message, /not_as_injected/);
  });

  test("injects by the settings that a project has now", async () => {
    await change("shop", { annotations: { "tencrypt.io/mode": "strict", "tencrypt.io/udp": null } });
    const { patch } = await ask("/inject", "shop");
    const containers = patch.find(({ path }) => path === "/spec/initContainers")?.value as readonly Container[];
    assert.equal(valueOf(containers, "TENCRYPT_MODE"), "strict");
    assert.equal(valueOf(containers, "TENCRYPT_UDP"), "dns-only");
    const changed = (object: object): Promise<Review> =>
      review(controller.webhook.port, "/validate", { operation: "CREATE", namespace: "shop", object });
    const injected = applied(patch);
    assert.deepEqual((await changed(injected)).message, "");
    const [init, proxy] = containers;
    const env = proxy!.env!.map((each) => (each.name === "TENCRYPT_MODE" ? { ...each, value: "permissive" } : each));
    const loosened = { ...injected, spec: { ...injected.spec, initContainers: [init, { ...proxy, env }] } };
    assert.match((await changed(loosened)).message, /^not_as_injected: .*initContainers/);
  });

  test("asks to try again where the namespace is no project any more", async () => {
    await change("left", { labels: { "tencrypt.io/project": null } });
    for (const path of ["/inject", "/validate"]) {
      const { allowed, code, message, retryAfterSeconds } = await ask(path, "left");
      assert.deepEqual([allowed, code, retryAfterSeconds], [false, 503, 1]);
      assert.match(message, /^project_not_labelled: .* Next: try again$/);
    }
  });

  test("reads nothing for a namespace that cannot be one", async () => {
    for (const namespace of ["", ".", "../pods", "a/b"]) {
      const { allowed, message } = await ask("/inject", namespace);
      assert.equal(allowed, false, namespace);
      assert.match(message, /^malformed/);
    }
  });
});
