/** The lockfile is one that `npm ci` takes on any machine and with any registry. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Lockfile } from "../../build/complete-lockfile.ts";
import { missingOptional } from "../../build/complete-lockfile.ts";

const text = readFileSync(join(import.meta.dirname, "../../package-lock.json"), "utf8");
const lockfile = JSON.parse(text) as Lockfile;
const entries = Object.entries(lockfile.packages);

test("the lockfile holds every optional package that it names", () => {
  const { "node_modules/@esbuild/linux-arm64": _left, ...others } = lockfile.packages;
  assert.deepEqual(
    missingOptional({ packages: others }).map((missing) => missing.name),
    ["@esbuild/linux-arm64"],
  );
  assert.deepEqual(
    missingOptional(lockfile).map((missing) => missing.name),
    [],
    "run: npm run lock",
  );
});

test("the lockfile names no host", () => {
  assert.ok(entries.length > 100);
  assert.deepEqual(
    entries.filter(([, entry]) => "resolved" in entry).map(([path]) => path),
    [],
  );
});

test("every package that can be installed here is pinned by its digest", () => {
  const isForHere = (entry: Lockfile["packages"][string]): boolean =>
    (entry.os ?? ["linux"]).includes("linux") &&
    (entry.cpu ?? ["x64"]).includes("x64") &&
    (entry.libc ?? ["glibc"]).includes("glibc");
  const unpinned = entries.filter(([path, entry]) => path !== "" && isForHere(entry) && !("integrity" in entry));
  assert.deepEqual(
    unpinned.map(([path]) => path),
    [],
  );
});
