/** What tests and benchmarks start the proxy with is what the image starts it with. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { proxyLaunch, readLaunch } from "../../build/proxy-launch.ts";

test("flags and environment are those of the Dockerfile's stage proxy", () => {
  const text =
    'FROM runtime AS proxy\nENV A_=1 B=two\nCMD ["--one", "--two=2", "dist/proxy/main.js"]\n\nFROM x AS y\nENV C=3\n';
  assert.deepEqual(readLaunch(text), { flags: ["--one", "--two=2"], env: { A_: "1", B: "two" } });
  assert.throws(() => readLaunch('FROM runtime AS proxy\nCMD ["dist/proxy/main.js"]\n'), /no flags/);
});

test("and there are some", () => {
  assert.ok(proxyLaunch.flags.includes("--external-memory-accounted-in-global-limit"), proxyLaunch.flags.join(" "));
  assert.ok(Object.hasOwn(proxyLaunch.env, "MALLOC_TRIM_THRESHOLD_"));
});
