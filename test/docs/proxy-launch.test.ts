/** What tests and benchmarks start the proxy with is what the image starts it with, in the memory that the chart gives it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { proxyLaunch, proxyMemoryMib, readLaunch, readMemoryMib } from "../../build/proxy-launch.ts";

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

test("the memory is that of the chart's values", () => {
  const values = (limit: string): string =>
    `ca:\n  resources:\n    limits: { memory: 9Mi }\n\n# What is injected.\nproxy:\n  # No other.\n  uid: 1\n  resources:\n    requests: { cpu: 1 }\n    limits: { ${limit} }\n`;
  assert.equal(readMemoryMib(values("memory: 256Mi")), 256);
  assert.throws(() => readMemoryMib(values("cpu: 1")), /no memory limit/);
  assert.ok(proxyMemoryMib > 0);
});
