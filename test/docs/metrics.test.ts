/**
 * docs/metrics.md lists exactly the metrics of the code, with their types, labels and meanings, and the program
 * registers exactly those. `npm run golden` writes the table.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { MetricDefinition } from "../../lib/metrics/definition.ts";
import { Registry } from "../../lib/metrics/registry.ts";
import { proxyMetrics } from "../../proxy/observe/metric-names.ts";
import { createProxyMetrics } from "../../proxy/observe/metrics.ts";
import { registerProcessMetrics } from "../../proxy/observe/process-metrics.ts";

const path = join(import.meta.dirname, "../../docs/metrics.md");
const definitions: readonly MetricDefinition[] = Object.values(proxyMetrics);

const row = ({ name, type, labels, help }: MetricDefinition): string => {
  const names = Object.keys(labels).map((label) => `\`${label}\``);
  return `| \`${name}\` | ${type} | ${names.join(", ")} | ${help} |`;
};

/** The rows of the table in the section, the head aside. */
const table = /(?<=^## Proxy\n\n\|.*\n\|---.*\n)(?:\|.*\n)*/m;

if (process.env["GOLDEN"] === "update") {
  const page = readFileSync(path, "utf8");
  writeFileSync(
    path,
    page.replace(table, () => definitions.map((definition) => `${row(definition)}\n`).join("")),
  );
}
const page = readFileSync(path, "utf8");

test("docs/metrics.md lists the metrics of the code and no other", () => {
  assert.deepEqual(table.exec(page)?.[0].trimEnd().split("\n"), definitions.map(row));
});

test("every metric that the page speaks of exists", () => {
  const known = new Set(definitions.map((definition) => definition.name));
  const named = [...page.matchAll(/\b(?:tencrypt|process)_[a-z_]+/g)].map((match) => match[0]);
  assert.deepEqual(
    named.filter((name) => !known.has(name)),
    [],
  );
});

test("every label of the code is explained or holds a fixed fact", () => {
  const explained = new Set(
    [...page.matchAll(/^\| ((?:`[a-z_]+`(?:, )?)+) \|/gm)].flatMap((match) => match[1]!.split(", ")),
  );
  const labels = new Set(
    definitions
      .filter(({ name }) => name !== "tencrypt_build_info")
      .flatMap((definition) => Object.keys(definition.labels)),
  );
  assert.deepEqual(
    [...labels].filter((label) => !explained.has(`\`${label}\``)),
    [],
  );
});

test("the proxy registers exactly the metrics of the table", () => {
  const registry = new Registry();
  createProxyMetrics(registry);
  registerProcessMetrics(registry, { version: "0", startedAt: 0, droppedLogLines: () => 0 });
  assert.deepEqual(registry.names().toSorted(), definitions.map((definition) => definition.name).toSorted());
});
