/** docs/cli.md lists exactly the commands, flags and check codes of the program. `npm run golden` writes the tables. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkCodes } from "../../cli/checks/codes.ts";
import { buildProgram } from "../../cli/program.ts";

const path = join(import.meta.dirname, "../../docs/cli.md");
const tableOf = (head: string): RegExp => new RegExp(`(?<=^\\| ${head} \\|.*\\n\\|---.*\\n)(?:\\|.*\\n)*`, "m");

const shared = ["--kubeconfig", "--context", "--debug"];
const program = buildProgram({ data: () => {}, note: () => {}, width: 80, color: false }, () => {});

const commands = program.commands.map((command) => {
  const arguments_ = command.registeredArguments.map((each) =>
    each.required ? ` ${each.name().toUpperCase()}` : ` [${each.name()}]`,
  );
  const flags = command.options.map(({ long }) => long ?? "").filter((flag) => !shared.includes(flag));
  return `| \`tencrypt ${command.name()}${arguments_.join("")}\` | ${command.description()} | ${flags.map((flag) => `\`${flag}\``).join(" ")} |`;
});
const checks = Object.entries(checkCodes).map(([code, { what, hint }]) => `| \`${code}\` | ${what} | ${hint} |`);

if (process.env["GOLDEN"] === "update") {
  const page = readFileSync(path, "utf8");
  const rows = (lines: readonly string[]) => (): string => lines.map((line) => `${line}\n`).join("");
  writeFileSync(path, page.replace(tableOf("command"), rows(commands)).replace(tableOf("code"), rows(checks)));
}
const page = readFileSync(path, "utf8");
const rowsIn = (head: string): readonly string[] | undefined => tableOf(head).exec(page)?.[0].trimEnd().split("\n");

test("docs/cli.md lists the commands and flags of the program and no other", () => {
  assert.deepEqual(rowsIn("command"), commands);
});

test("docs/cli.md lists the checks of the program and no other", () => {
  assert.deepEqual(rowsIn("code"), checks);
});

test("every command has an example in its help", () => {
  for (const command of program.commands) {
    let help = "";
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    assert.match(help, /Examples:\n {2}(?:tencrypt|source)/, command.name());
  }
});
