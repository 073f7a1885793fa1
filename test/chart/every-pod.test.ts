/** The policy that docs/operations.md offers to whoever wants no pod without a proxy does on a real API server what the page says. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startApiServer, whyNoApiServer } from "../cluster/api-server.ts";
import type { ApiServer } from "../cluster/api-server.ts";
import type { Json } from "../cluster/client.ts";
import { eventually } from "../cluster/eventually.ts";
import { protectedSpec } from "../cluster/protected-pod.ts";
import { enabled, refusal } from "./installed.ts";

const why = whyNoApiServer();
const page = readFileSync(join(import.meta.dirname, "../../docs/operations.md"), "utf8");
const policy = /^### Every pod of a project\n[^]*?^```yaml\n([^]*?)^```/m.exec(page)?.[1] ?? assert.fail("no policy");

const bare = { containers: [{ name: "app", image: "localhost/app:1" }], automountServiceAccountToken: false };

describe("a policy for every pod of a project", why === null ? {} : { skip: why }, () => {
  let api: ApiServer;

  const create = (namespace: string, spec: Json, annotations: Json = {}): Promise<unknown> =>
    api.admin.create(`/api/v1/namespaces/${namespace}/pods?dryRun=All`, {
      metadata: { name: "app", annotations },
      spec,
    });
  const refused = (spec: Json, annotations?: Json): Promise<void> =>
    assert.rejects(
      create("shop", spec, annotations),
      refusal(422, /every pod of this project has a proxy of Tencrypt/),
    );

  before(async () => {
    api = await startApiServer();
    await api.objects.namespace("shop", enabled);
    await api.objects.namespace("plain");
    const folder = mkdtempSync(join(tmpdir(), "tencrypt-policy-"));
    writeFileSync(join(folder, "policy.yaml"), policy);
    await api.kubectl("apply", "-f", join(folder, "policy.yaml"));
    rmSync(folder, { recursive: true });
    // The API server learns of policies from a watch.
    await eventually(() => refused(bare));
  });
  after(() => api?.stop());

  test("refuses what injection skips", async () => {
    await refused(bare, { "tencrypt.io/inject": "disabled", "tencrypt.io/skipped": "inject_disabled" });
    await refused({ ...bare, hostNetwork: true });
    await refused({ ...bare, initContainers: [{ name: "other", image: "localhost/app:1" }] });
  });

  test("admits a pod with a proxy, and every pod of a namespace that is no project", async () => {
    await create("shop", { ...protectedSpec(), containers: bare.containers });
    await create("plain", bare);
  });
});
