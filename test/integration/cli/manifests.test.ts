/** kubectl reads the same of a manifest before and after we have written it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { readManifests, writeManifest } from "../../../cli/manifests.ts";
import { setUp } from "../../cluster/set-up.ts";
import { manifestOf } from "../../unit/cli/manifest-values.ts";

const ready = setUp("api");

test(
  "kubectl reads a manifest that was written as it reads the original",
  ready.kind === "ready" ? {} : { skip: ready.why },
  () => {
    assert.ok(ready.kind === "ready");
    // Changes nothing but the label, and asks no cluster.
    const seen = (input: string): unknown =>
      JSON.parse(
        execFileSync(
          "kubectl",
          ["label", "--local", "-f", "-", "seen=yes", "-o", "json", "--kubeconfig", "/dev/null"],
          {
            input,
            env: { PATH: ready.path },
            encoding: "utf8",
          },
        ),
      );
    const manifest = manifestOf("Anything");
    const [document] = readManifests(manifest);
    const value: unknown = document?.toJS();
    assert.deepEqual(seen(writeManifest(value)), seen(manifest));
    const asJson = JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? `whole ${each}` : each));
    assert.deepEqual(seen(asJson.replaceAll(/"whole ([-0-9]+)"/g, "$1")), seen(manifest));
  },
);
