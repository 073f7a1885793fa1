/**
 * docs/metrics.md lists exactly the metrics of the code, with their types, labels and meanings, and each program
 * registers exactly those. `npm run golden` writes the tables.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { caMetrics, createMetrics as createCaMetrics } from "../../ca/metrics.ts";
import { controllerMetrics, createMetrics as createControllerMetrics } from "../../controller/metrics.ts";
import type { MetricDefinition } from "../../lib/metrics/definition.ts";
import { Registry } from "../../lib/metrics/registry.ts";
import { proxyMetrics } from "../../proxy/observe/metric-names.ts";
import { createProxyMetrics } from "../../proxy/observe/metrics.ts";
import { registerProcessMetrics } from "../../proxy/observe/process-metrics.ts";

const path = join(import.meta.dirname, "../../docs/metrics.md");

function registeredByProxy(): Registry {
  const registry = new Registry();
  createProxyMetrics(registry);
  registerProcessMetrics(registry, { version: "0", startedAt: 0, droppedLogLines: () => 0 });
  return registry;
}

type Program = { readonly definitions: readonly MetricDefinition[]; readonly registered: () => Registry };

/** By the line that stands above the table. */
const programs: Readonly<Record<string, Program>> = {
  "## Proxy": { definitions: Object.values(proxyMetrics), registered: registeredByProxy },
  "Of the ca:": { definitions: Object.values(caMetrics), registered: () => createCaMetrics().registry },
  "Of the controller:": {
    definitions: Object.values(controllerMetrics),
    registered: () => createControllerMetrics().registry,
  },
};
const definitions = Object.values(programs).flatMap((program) => program.definitions);

const row = ({ name, type, labels, help }: MetricDefinition): string => {
  const names = Object.keys(labels).map((label) => `\`${label}\``);
  return `| \`${name}\` | ${type} | ${names.join(", ")} | ${help} |`;
};

/** The rows of the table below the line, the head aside. */
const tableBelow = (line: string): RegExp => new RegExp(`(?<=^${line}\\n\\n\\|.*\\n\\|---.*\\n)(?:\\|.*\\n)*`, "m");

const update = (page: string): string =>
  Object.entries(programs).reduce(
    (text, [line, program]) =>
      text.replace(tableBelow(line), () => program.definitions.map((definition) => `${row(definition)}\n`).join("")),
    page,
  );

if (process.env["GOLDEN"] === "update") writeFileSync(path, update(readFileSync(path, "utf8")));
const page = readFileSync(path, "utf8");

for (const [line, program] of Object.entries(programs)) {
  test(`docs/metrics.md lists the metrics of the code and no other: ${line}`, () => {
    assert.deepEqual(tableBelow(line).exec(page)?.[0].trimEnd().split("\n"), program.definitions.map(row));
  });

  test(`the program registers exactly the metrics of the table: ${line}`, () => {
    const names = program.definitions.map((definition) => definition.name);
    assert.deepEqual(program.registered().names().toSorted(), names.toSorted());
  });
}

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
