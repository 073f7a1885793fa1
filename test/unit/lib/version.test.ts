/** One version for all programs. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { version } from "../../../lib/version.ts";

test("the programs tell the version of package.json", () => {
  const manifest: unknown = JSON.parse(readFileSync(join(import.meta.dirname, "../../../package.json"), "utf8"));
  assert.equal((manifest as { version: string }).version, version);
});
