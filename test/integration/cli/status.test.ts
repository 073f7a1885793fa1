/** `tencrypt status` on a cluster on which nothing is a project yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { status } from "../../../cli/commands/status.ts";
import { startFakeApi } from "./fake-api.ts";
import { recordScreen } from "./screen.ts";

test("of all projects says how a namespace becomes one where there is none", async (t) => {
  const { kubeconfig } = await startFakeApi(t, () => ({ items: [], metadata: {} }));
  const { screen, written } = recordScreen(100);
  await status(undefined, { kubeconfig, output: "table", allNamespaces: true }, screen);
  assert.match(written.data, /^NAMESPACE .*\n$/);
  await status(undefined, { kubeconfig, output: "json", allNamespaces: true }, screen);
  assert.match(written.data, /\n\[\]\n$/);
  assert.equal(
    written.notes,
    "\n0 of 0 pods protected\nnext: docs/operations.md, Roll out, says how a namespace becomes a project\n",
  );
});
