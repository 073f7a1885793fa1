/**
 * test/golden/cli: what each command prints, to the letter: every help text, and the tables, JSON and YAML of fixed facts.
 * `npm run golden` rewrites them. A change of what users see shows in the commit that makes it.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { Command } from "commander";
import { report } from "../../../cli/commands/check.ts";
import { explain } from "../../../cli/commands/explain.ts";
import { tell } from "../../../cli/commands/status.ts";
import type { Row } from "../../../cli/commands/status.ts";
import { version } from "../../../cli/commands/version.ts";
import { changes, told } from "../../../cli/diff.ts";
import { judgeCluster, judgeInstallation } from "../../../cli/checks/judge.ts";
import { buildProgram } from "../../../cli/program.ts";
import { structured } from "../../../cli/terminal.ts";
import type { Format, Terminal } from "../../../cli/terminal.ts";
import { goodFacts, read } from "./facts.ts";

const folder = join(import.meta.dirname, "../../golden/cli");
const formats: readonly Format[] = ["table", "json", "yaml"];
const written = new Set<string>();

function same(name: string, text: string): void {
  const file = `${name}.txt`;
  written.add(file);
  const path = join(folder, file);
  if (process.env["GOLDEN"] === "update") writeFileSync(path, text);
  assert.ok(existsSync(path), `${file} is missing: npm run golden`);
  assert.equal(text, readFileSync(path, "utf8"));
}

/** What was printed: data, and after a line of its own what goes to stderr. */
function printed(work: (screen: Terminal) => void): string {
  let [data, notes] = ["", ""];
  work({ data: (text) => (data += text), note: (text) => (notes += text), width: 100, color: false });
  return notes === "" ? data : `${data}--- stderr\n${notes}`;
}

const silent: Terminal = { data: () => {}, note: () => {}, width: 100, color: false };

/** Commander writes help for the width of the terminal, which is a setting of the test here. */
function helpOf(command: Command): string {
  let text = "";
  const outputs = { writeOut: (part: string) => void (text += part), getOutHelpWidth: () => 100 };
  command.configureOutput(outputs).outputHelp();
  return text;
}

describe("the help of", () => {
  const program = buildProgram(silent, () => {});
  for (const command of [program, ...program.commands]) {
    const name = command === program ? "tencrypt" : command.name();
    test(name, () => same(`help-${name}`, helpOf(command)));
  }
});

const row: Row = {
  namespace: "shop",
  workload: "Deployment/cart",
  pod: "cart-6d9f-x",
  protected: true,
  exempt: false,
  why: "",
  modeAtLeast: "project",
  mode: "strict",
  version: "0.1.0",
  certificateEnds: "2026-11-28T12:00:00.000Z",
};
const bare = {
  protected: false,
  exempt: true,
  modeAtLeast: null,
  mode: null,
  version: "",
  certificateEnds: "",
} as const;
const rows: readonly Row[] = [
  row,
  { ...row, pod: "cart-6d9f-y", mode: null, certificateEnds: "unknown: no answer within 5 s" },
  { ...row, ...bare, workload: "Job/import", pod: "import-1", why: "inject_disabled" },
];

describe("status", () => {
  for (const format of formats)
    test(format, () =>
      same(
        `status-${format}`,
        printed((to) => tell(rows, format, to)),
      ),
    );

  test("with nothing to complain of", () =>
    same(
      "status-good",
      printed((to) => tell([row], "table", to)),
    ));
});

describe("check", () => {
  const facts = { ...goodFacts, controller: read(null), sourceMismatches: 3 };
  const findings = [...judgeCluster(facts), ...judgeInstallation(facts)];

  test("table", () => same("check-table", report(findings, { color: false })));
  for (const format of ["json", "yaml"] as const)
    test(format, () => same(`check-${format}`, structured(findings, format)));
});

describe("explain", () => {
  for (const format of formats)
    test(format, () =>
      same(
        `explain-${format}`,
        printed((to) => explain("peer_not_enrolled", { output: format }, to)),
      ),
    );
});

describe("version", () => {
  for (const format of formats)
    test(format, async () => {
      let text = "";
      await version({ client: true, output: format }, { ...silent, data: (part) => (text += part) });
      same(`version-${format}`, text.replaceAll(/[0-9]+\.[0-9]+\.[0-9]+/g, "X.Y.Z"));
    });
});

const manifest = (kind: string, name: string, more: string): string =>
  `---\napiVersion: v1\nkind: ${kind}\nmetadata:\n  name: ${name}\n  namespace: tencrypt-ca\n${more}`;

describe("what an upgrade would change", () => {
  const long = Array.from({ length: 12 }, (_, index) => `  key${index}: "${index}"\n`).join("");
  const before =
    manifest("ConfigMap", "settings", `data:\n${long}`) +
    manifest("Secret", "key", "data:\n  tls.key: c2VjcmV0\n") +
    manifest("Service", "gone", "spec:\n  ports: []\n");

  test("objects that come, go and change", () => {
    const after_ =
      manifest("Secret", "key", "data:\n  tls.key: b3RoZXI=\n") +
      manifest("ConfigMap", "settings", `data:\n${long.replace('"1"', '"one"').replace('  key9: "9"\n', "")}`) +
      manifest("ConfigMap", "new", "data:\n  a: b\n");
    const text = told(changes(before, after_));
    assert.doesNotMatch(text, /c2VjcmV0|b3RoZXI/, "data of a Secret");
    same("upgrade-dry-run", text);
  });

  test("nothing, whatever the order of objects and keys", () => {
    const [one = "", two = "", three = ""] = before.split("---\n").slice(1);
    assert.equal(told(changes(before, `---\n${three}---\n${two}---\n${one}`)), "nothing would change\n");
    assert.deepEqual(changes("a: 1\nkind: A\n", "# other\nkind: A\na: 1\n"), []);
    assert.deepEqual(changes("", "---\n# only a comment\n"), []);
  });
});

after(() => assert.deepEqual(readdirSync(folder).toSorted(), [...written].toSorted()));
