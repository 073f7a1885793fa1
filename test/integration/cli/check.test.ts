/** `tencrypt check` asks for what it judges, and no more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { check } from "../../../cli/commands/check.ts";
import { startFakeApi } from "./fake-api.ts";
import { recordScreen } from "./screen.ts";

test("--pre looks at nothing but what an installation needs, however much runs on the cluster", async (t) => {
  const answers: Readonly<Record<string, object>> = {
    "/version": { gitVersion: "v1.36.3" },
    "/apis/admissionregistration.k8s.io/v1": { resources: [{ name: "validatingadmissionpolicies" }] },
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": { status: { allowed: true } },
  };
  const asked = new Set<string>();
  const { kubeconfig } = await startFakeApi(t, (path) => {
    asked.add(path);
    return answers[path] ?? { items: [], metadata: {} };
  });
  const { screen, written } = recordScreen(100);
  const code = await check({ kubeconfig, output: "table", pre: true }, screen);
  assert.equal(code, 0, written.data);
  assert.match(written.data, /\n0 failed, 0 warnings, 4 passed\n$/);
  assert.match(written.notes, /^not looked at: .*; --probe tries them\n$/);
  assert.deepEqual([...asked].toSorted(), Object.keys(answers).toSorted());
});
