/**
 * The tree follows the import table, and so does the linter that shows it in the editor. Every rule first proves that
 * it can fail.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { describe, test } from "node:test";
import { build } from "esbuild";
import manifest from "../../package.json" with { type: "json" };
import { exceptions, packages, pure, zoneOf, zones } from "./import-table.ts";
import { importsOf, resolveImport } from "./imports.ts";
import { valueTargets, violationsOf } from "./violations.ts";

const root = resolve(import.meta.dirname, "../..");

function readTree(): ReadonlyMap<string, string> {
  const skipped = ["node_modules", "dist", ".git", ".cache"];
  const files = globSync("**/*.ts", { cwd: root, exclude: (path) => skipped.includes(path.split("/")[0]!) });
  return new Map(files.map((file) => [file, readFileSync(join(root, file), "utf8")]));
}

const tree = readTree();
const programs = new Map([...tree].filter(([file]) => zoneOf(file) !== null));

/** Sources that break one rule each, with the whole list of what must be found. */
const broken: readonly { readonly rule: string; readonly files: Record<string, string>; readonly found: string[] }[] = [
  {
    rule: "lib uses no program",
    files: { "lib/net/x.ts": 'import { a } from "../../ca/ca.ts";' },
    found: ["lib/net/x.ts: may not import ca/ca.ts"],
  },
  {
    rule: "a program uses no other program, not even its types",
    files: { "init/x.ts": 'import type { A } from "../proxy/config.ts";' },
    found: ["init/x.ts: may not import types of proxy/config.ts"],
  },
  {
    rule: "a stage uses no other stage's values",
    files: { "proxy/relay/x.ts": 'import {\n  a,\n  b,\n} from "../session/pool.ts";' },
    found: ["proxy/relay/x.ts: may not import proxy/session/pool.ts"],
  },
  {
    rule: "a dynamic import is an import",
    files: { "proxy/relay/x.ts": 'const a = await import("../session/pool.ts");' },
    found: ["proxy/relay/x.ts: may not import proxy/session/pool.ts"],
  },
  {
    rule: "a re-export is an import",
    files: { "ca/x.ts": 'export * from "../init/plan.ts";' },
    found: ["ca/x.ts: may not import init/plan.ts"],
  },
  {
    rule: "a pure file does no I/O",
    files: { "proxy/route/x.ts": 'import { connect } from "node:net";' },
    found: ["proxy/route/x.ts: is pure and imports node:net"],
  },
  {
    rule: "a pure file uses pure files only",
    files: { "lib/net/x.ts": 'import { systemClock } from "../clock/clock.ts";' },
    found: ["lib/net/x.ts: is pure and uses lib/clock/clock.ts, which is not"],
  },
  {
    rule: "built-in modules have their prefix",
    files: { "ca/x.ts": 'import net from "net";' },
    found: ["ca/x.ts: net lacks its prefix node:"],
  },
  {
    rule: "a package is given to a folder, not to all",
    files: { "init/x.ts": 'import * as grpc from "@grpc/grpc-js";' },
    found: ["init/x.ts: may not import the package @grpc/grpc-js"],
  },
  {
    rule: "of node-forge only two files are used",
    files: { "ca/x509/x.ts": 'import forge from "node-forge";' },
    found: ["ca/x509/x.ts: may not import the package node-forge"],
  },
  {
    rule: "programs use no package of development",
    files: { "lib/net/x.ts": 'import fc from "fast-check";' },
    found: ["lib/net/x.ts: may not import the package fast-check"],
  },
  {
    rule: "time is an argument",
    files: { "ca/x.ts": "const a = new Date();" },
    found: ["ca/x.ts: reads the clock or randomness"],
  },
  {
    rule: "every program is in the table",
    files: { "daemon/main.ts": "" },
    found: ["daemon/main.ts: no zone of the import table covers it"],
  },
  {
    rule: "names say what is inside",
    files: { "test/helpers/x.ts": "", "lib/net/util.ts": "" },
    found: ['test/helpers/x.ts: the name "helpers" says nothing', 'lib/net/util.ts: the name "util" says nothing'],
  },
  {
    rule: "there is no cycle",
    files: { "ca/a.ts": 'import "./b.ts";', "ca/b.ts": 'import "./c.ts";', "ca/c.ts": 'export { x } from "./a.ts";' },
    found: ["cycle: ca/a.ts -> ca/b.ts -> ca/c.ts -> ca/a.ts"],
  },
];

describe("the import table", () => {
  for (const { rule, files, found } of broken) {
    test(`can fail: ${rule}`, () => {
      assert.deepEqual(violationsOf(new Map(Object.entries(files))), found);
    });
  }

  test("lets a stage use events, types of stages, and lib", () => {
    const source = [
      'import { channels } from "../observe/events.ts";',
      'import type { Session } from "../session/session.ts";',
      'import { formatEndpoint } from "../../lib/net/address.ts";',
      'import net from "node:net";',
    ].join("\n");
    assert.deepEqual(violationsOf(new Map([["proxy/relay/x.ts", source]])), []);
  });

  test("is followed by the whole tree", () => {
    assert.ok(tree.size > 30, `only ${tree.size} files were read`);
    assert.deepEqual(violationsOf(tree), []);
  });

  test("names only what exists", () => {
    const paths = [...pure, ...exceptions.map((entry) => entry.file)];
    const named = [...paths, ...zones.map((zone) => zone.path), ...packages.flatMap((rule) => rule.from)];
    const files = [...tree.keys()];
    assert.deepEqual(
      named.filter((entry) => !files.some((file) => (entry.endsWith("/") ? file.startsWith(entry) : file === entry))),
      [],
    );
  });

  test("makes no exception that nobody needs", () => {
    const isUsed = ({ file, imports }: (typeof exceptions)[number]): boolean =>
      importsOf(tree.get(file) ?? "").some(({ specifier }) => resolveImport(file, specifier) === imports);
    assert.deepEqual(
      exceptions.filter((exception) => !isUsed(exception)),
      [],
    );
  });

  test("lists exactly the dependencies of package.json", () => {
    const installed = Object.keys(manifest.dependencies);
    const isListed = (name: string): boolean =>
      packages.some((rule) => `${rule.name}/`.startsWith(name) || name.startsWith(rule.name));
    assert.deepEqual(
      installed.filter((name) => !isListed(name)),
      [],
    );
    const isInstalled = (rule: string): boolean =>
      installed.some((name) => name.startsWith(rule) || rule.startsWith(name));
    assert.deepEqual(
      packages.map((rule) => rule.name).filter((rule) => !isInstalled(rule)),
      [],
    );
  });

  test("sees every import that the bundler sees", async () => {
    const { metafile } = await build({
      absWorkingDir: root,
      entryPoints: [...programs.keys()],
      outdir: "unused",
      bundle: true,
      write: false,
      metafile: true,
      platform: "node",
      format: "esm",
      packages: "external",
      external: ["*.node"],
      logLevel: "silent",
    });
    for (const [file, { imports }] of Object.entries(metafile.inputs)) {
      if (file.endsWith(".json")) continue;
      const source = tree.get(file) ?? assert.fail(`${file} was not read`);
      const seen = valueTargets(file, source, tree);
      const bundled = imports
        .filter((entry) => entry.external !== true && !entry.path.endsWith(".json"))
        .map((entry) => entry.path);
      assert.deepEqual(
        bundled.filter((path) => !seen.includes(path)),
        [],
        `imports of ${file} that were not seen`,
      );
      const specifiers = importsOf(source).map((entry) => entry.specifier);
      const external = imports.filter((entry) => entry.external === true).map((entry) => entry.path);
      assert.deepEqual(
        external.filter((path) => !specifiers.includes(path)),
        [],
        `packages of ${file} that were not seen`,
      );
    }
  });
});

describe("the linter", () => {
  /** A tree of its own with our configuration, so that nothing broken is ever written into this one. */
  function lint(file: string, source: string): readonly string[] {
    const folder = mkdtempSync(join(tmpdir(), "tencrypt-lint-"));
    try {
      for (const path of ["oxlint.config.ts", "package.json", "tsconfig.json", "test/architecture"]) {
        cpSync(join(root, path), join(folder, path), { recursive: true });
      }
      symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), source);
      const bin = join(root, "node_modules/.bin/oxlint");
      const { stdout } = spawnSync(process.execPath, [bin, "-f", "json", file], { cwd: folder, encoding: "utf8" });
      const report = JSON.parse(stdout) as { diagnostics: { code: string; message: string }[] };
      return report.diagnostics.map(({ code, message }) => `${code} ${message.split(" ")[0]}`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  test("refuses in a pure stage what the table refuses", () => {
    const source = [
      'export { a } from "../observe/events.ts";',
      'export type { B } from "../session/pool.ts";',
      'export { connect } from "node:net";',
      'export { c } from "../../init/plan.ts";',
      'export { credentials } from "@grpc/grpc-js";',
      'export { readFileSync } from "fs";',
      'export const d = import("../relay/relay.ts");',
      'export { parseIp } from "../../lib/net/address.ts";',
    ].join("\n");
    const refused = lint("proxy/route/x.ts", source).filter((line) => line.includes("no-restricted-imports"));
    assert.deepEqual(
      refused.toSorted(),
      [
        "'../../init/plan.ts'",
        "'../observe/events.ts'",
        "'../relay/relay.ts'",
        "'../session/pool.ts'",
        "'@grpc/grpc-js'",
        "'fs'",
        "'node:net'",
      ].map((specifier) => `eslint(no-restricted-imports) ${specifier}`),
    );
  });

  test("knows of a stage's types, of the events and of depth", () => {
    const source = [
      'export { a } from "../../observe/events.ts";',
      'export type { B } from "../../session/pool.ts";',
      'export { c } from "../../session/pool.ts";',
      'export { d } from "../../observe/spans.ts";',
      'export { connect } from "node:net";',
    ].join("\n");
    const refused = lint("proxy/relay/deeper/x.ts", source).filter((line) => line.includes("no-restricted-imports"));
    assert.deepEqual(refused.toSorted(), [
      "eslint(no-restricted-imports) '../../observe/spans.ts'",
      "eslint(no-restricted-imports) '../../session/pool.ts'",
    ]);
  });

  test("refuses clock, randomness, environment and promises that nobody awaits", () => {
    const source = [
      "export async function now(): Promise<number> {",
      "  return Date.now() + Math.random() + performance.now() + Number(process.env['X']);",
      "}",
      "export function start(): void {",
      "  now();",
      "  setTimeout(start, 1);",
      "}",
    ].join("\n");
    assert.deepEqual(
      lint("ca/x.ts", source)
        .map((line) => line.split(" ")[0]!)
        .toSorted(),
      [
        "eslint(no-restricted-globals)",
        "eslint(no-restricted-globals)",
        "eslint(no-restricted-properties)",
        "eslint(no-restricted-properties)",
        "node(no-process-env)",
        "typescript(no-floating-promises)",
      ],
    );
  });

  test("refuses a switch that forgets a kind", () => {
    const source = [
      'export function f(outcome: { kind: "a" } | { kind: "b" }): number {',
      "  switch (outcome.kind) {",
      '    case "a":',
      "      return 1;",
      "  }",
      "  return 0;",
      "}",
    ].join("\n");
    assert.deepEqual(
      lint("ca/x.ts", source).map((line) => line.split(" ")[0]),
      ["typescript(switch-exhaustiveness-check)"],
    );
  });
});
