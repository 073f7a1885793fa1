/** `tencrypt status` on a cluster on which nothing is a project yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { status } from "../../../cli/commands/status.ts";
import { startFakeApi } from "./fake-api.ts";

test("of all projects says how a namespace becomes one where there is none", async (t) => {
  const { kubeconfig } = await startFakeApi(t, () => ({ items: [], metadata: {} }));
  let [data, notes] = ["", ""];
  const screen = {
    data: (text: string) => void (data += text),
    note: (text: string) => void (notes += text),
    width: 100,
    color: false,
  };
  await status(undefined, { kubeconfig, output: "table", allNamespaces: true }, screen);
  assert.match(data, /^NAMESPACE .*\n$/);
  await status(undefined, { kubeconfig, output: "json", allNamespaces: true }, screen);
  assert.match(data, /\n\[\]\n$/);
  assert.equal(
    notes,
    "\n0 of 0 pods protected\nnext: docs/operations.md, Roll out, says how a namespace becomes a project\n",
  );
});
