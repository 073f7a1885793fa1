/** What `tencrypt check` wants of webhooks and policies is what the chart renders, with every case of values. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { policyShape, webhookShape } from "../../cli/checks/admission-shape.ts";
import type { Shape } from "../../cli/checks/admission-shape.ts";
import { admissionPolicies } from "../../lib/kube/names.ts";
import { chartShapes } from "../../cli/checks/admission-table.ts";
import { cases } from "./cases.ts";
import { rendered } from "./rendered.ts";
import type { Rendered } from "./rendered.ts";

const file = join(import.meta.dirname, "../../cli/checks/admission-table.ts");

const refusing: readonly string[] = admissionPolicies;

const shapesOf = (objects: readonly Rendered[]): Readonly<Record<string, Shape>> =>
  Object.fromEntries(
    objects.flatMap((object): readonly (readonly [string, Shape])[] => {
      if (object.kind.endsWith("WebhookConfiguration"))
        return (object["webhooks"] as readonly Readonly<Record<string, unknown>>[]).map(
          (webhook) => [String(webhook["name"]), webhookShape(webhook)] as const,
        );
      return object.kind === "ValidatingAdmissionPolicy" && refusing.includes(object.metadata.name)
        ? [[object.metadata.name, policyShape(object["spec"] as Readonly<Record<string, unknown>>)]]
        : [];
    }),
  );

if (process.env["GOLDEN"] === "update") {
  const lines = Object.entries(shapesOf(rendered("default"))).map(
    ([name, shape]) =>
      `  ${JSON.stringify(name)}: {\n${Object.entries(shape)
        .map(([field, print]) => `    ${field}: "${print}",\n`)
        .join("")}  },\n`,
  );
  const text = readFileSync(file, "utf8");
  writeFileSync(
    file,
    text.replace(/(?<== \{\n)[^]*(?=\};\n$)/, () => lines.join("")),
  );
}

for (const name of Object.keys(cases))
  test(`case ${name}`, () => assert.deepEqual(shapesOf(rendered(name)), chartShapes));
