// The checked-in code of lib/proto/gen/ is exactly what the definitions and the pinned generator give.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const root = new URL("../../../", import.meta.url).pathname;

const contents = (folder: string): Map<string, string> =>
  new Map(
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .toSorted()
      .map((name) => [name, readFileSync(join(folder, name), "utf8")]),
  );

void test("the checked-in code is what lib/proto/generate.sh writes", () => {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-proto-"));
  try {
    execFileSync("sh", [join(root, "lib/proto/generate.sh"), folder], { stdio: ["ignore", "ignore", "pipe"] });
    const fresh = contents(join(folder, "lib/proto/gen"));
    assert.ok(fresh.size >= 2, "the generator wrote nothing");
    assert.deepEqual(contents(join(root, "lib/proto/gen")), fresh);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
