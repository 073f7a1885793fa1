/** The table of values in docs/operations.md is that of charts/tencrypt/values.yaml, and the schema knows the same. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { loadYaml } from "@kubernetes/client-node";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/operations.md"), "utf8");
const chart = join(root, "charts/tencrypt");

type Tree = { readonly [name: string]: unknown };
type Schema = { readonly properties?: Readonly<Record<string, Schema>>; readonly $ref?: string };

const isTree = (value: unknown): value is Tree => typeof value === "object" && value !== null && !Array.isArray(value);

/** Resources are one value each. */
function leaves(tree: Tree, prefix = ""): readonly (readonly [string, string])[] {
  return Object.entries(tree).flatMap(([name, value]) =>
    isTree(value) && name !== "resources"
      ? leaves(value, `${prefix}${name}.`)
      : [[`${prefix}${name}`, JSON.stringify(value)] as const],
  );
}

function schemaLeaves(schema: Schema, prefix = ""): readonly string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, below]) =>
    below.properties === undefined ? [`${prefix}${name}`] : schemaLeaves(below, `${prefix}${name}.`),
  );
}

const section = page.split(/^## /m).find((part) => part.startsWith("Values\n")) ?? "";
const rows = [...section.matchAll(/^\| `([^`]+)` \| `([^`]*)` \| .*\|$/gm)].map((row) => [row[1]!, row[2]!] as const);
const values = leaves(loadYaml<Tree>(readFileSync(join(chart, "values.yaml"), "utf8")));

describe("docs/operations.md", () => {
  test("lists the values of the chart with their defaults, in their order", () => {
    assert.deepEqual(rows, values);
  });

  test("and the schema know the same values", () => {
    const schema = JSON.parse(readFileSync(join(chart, "values.schema.json"), "utf8")) as Schema;
    // Helm itself sets `global`.
    const known = schemaLeaves(schema).filter((name) => name !== "global");
    assert.deepEqual(known.toSorted(), values.map(([name]) => name).toSorted());
  });
});
