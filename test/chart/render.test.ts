/** What the chart renders: golden files (rewritten with GOLDEN=update), refusals that can be read, names and versions. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { cases, refused } from "./cases.ts";
import { chart, helm, releaseNamespace, template, whyNoHelm } from "./helm.ts";

const golden = join(import.meta.dirname, "../golden/chart");
const root = join(import.meta.dirname, "../..");

describe("the chart", whyNoHelm === null ? {} : { skip: whyNoHelm }, () => {
  test("passes helm lint", async () => {
    const { code, stdout, stderr } = await helm(["lint", "--strict", chart, "-n", releaseNamespace]);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /1 chart\(s\) linted, 0 chart\(s\) failed/);
  });

  for (const [name, values] of Object.entries(cases)) {
    test(`renders ${name} as its golden file says`, async () => {
      const { code, stdout, stderr } = await template(values);
      assert.equal(code, 0, stderr);
      const file = join(golden, `${name}.yaml`);
      if (process.env["GOLDEN"] === "update") writeFileSync(file, stdout);
      assert.equal(stdout, readFileSync(file, "utf8"));
    });
  }

  test("has a case for every golden file", () => {
    assert.deepEqual(
      readdirSync(golden).toSorted(),
      Object.keys(cases)
        .map((name) => `${name}.yaml`)
        .toSorted(),
    );
  });

  for (const { values, says } of refused) {
    test(`refuses ${JSON.stringify(values)}`, async () => {
      const { code, stdout, stderr } = await template(values);
      assert.notEqual(code, 0);
      assert.equal(stdout, "");
      assert.match(stderr, says);
    });
  }

  test("refuses another release namespace, and says which one it is", async () => {
    const { code, stderr } = await helm(["template", "tencrypt", chart, "-n", "default"]);
    assert.notEqual(code, 0);
    assert.match(
      stderr,
      /the release namespace is "default".*\nnext: helm install tencrypt <chart> -n tencrypt-system/,
    );
  });

  test("has the version of the package", () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string };
    const text = readFileSync(join(chart, "Chart.yaml"), "utf8");
    assert.equal(/^version: (.*)$/m.exec(text)?.[1], version);
    assert.equal(/^appVersion: (.*)$/m.exec(text)?.[1], version);
  });
});
