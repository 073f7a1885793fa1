/** Whatever a pod is called, its Event has a name that an API server takes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeClient } from "../../../../lib/kube/client.ts";
import { createEvents } from "../../../../lib/kube/events.ts";
import { silent } from "../../../../lib/log/log.ts";
import { manualClock } from "../../../clock/manual-clock.ts";

/** RFC 1123, a subdomain: what Kubernetes asks of most names. */
const subdomain = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

for (const name of ["cart-0", `${"a".repeat(199)}-b`, `${"a".repeat(198)}-.b`, "b".repeat(253)])
  test(`${name.slice(0, 8)} of ${name.length} characters`, () => {
    const names: string[] = [];
    const create = (_path: string, { metadata }: { readonly metadata: { readonly name: string } }): Promise<void> => {
      names.push(metadata.name);
      return Promise.resolve();
    };
    const client = { create } as unknown as KubeClient;
    const parts = { client, clock: manualClock(), log: silent, controller: "tencrypt.io/controller", instance: "one" };
    const news = { type: "Warning", reason: "Unprotected", action: "Protecting", cause: "", note: "" } as const;
    createEvents(parts).tell({ namespace: "shop", name, uid: "u" }, news);
    assert.equal(names.length, 1);
    assert.match(names[0]!, subdomain);
  });
