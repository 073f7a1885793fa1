/** The last words before an uninstallation. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { farewell } from "../../../hook/uninstall.ts";
import type { Counted } from "./count-many.ts";

test("as many pods as there are, are counted in the memory of few", async () => {
  const resourceLimits = { maxOldGenerationSizeMb: 48 };
  const worker = new Worker(new URL("count-many.ts", import.meta.url), { resourceLimits });
  const [counted] = (await once(worker, "message")) as [Counted];
  assert.deepEqual(counted, { shop: 7_500, billing: 7_500, pages: 75 });
});

describe("the warning before an uninstallation", () => {
  test("names the projects and what to do", () => {
    const text = farewell(
      new Map([
        ["shop", 7],
        ["billing", 1],
      ]),
    );
    assert.equal(
      text,
      "WARNING: 8 running pods in 2 projects still had a proxy of Tencrypt (billing 1, shop 7). Their certificates are " +
        "not renewed any more; when they end, these pods refuse all connections. To take a proxy out: kubectl label " +
        "namespace billing tencrypt.io/project- && kubectl -n billing rollout restart deployment,statefulset,daemonset\n",
    );
  });

  test("is bounded", () => {
    const text = farewell(new Map(Array.from({ length: 1000 }, (_, index) => [`p${index}`, 1])));
    assert.ok(text.length < 1000);
    assert.match(text, /, 980 more\)/);
  });

  test("is none where no pod is concerned", () => {
    assert.equal(farewell(new Map()), "No pod has a proxy of Tencrypt: nothing loses its connections.\n");
  });
});
