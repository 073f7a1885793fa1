/**
 * docs/errors.md has one section for each reason code, with the same words as lib/errors/reasons.ts, and no other.
 * `npm run golden` writes what the table says into the sections and adds missing ones; text below them is kept.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { buildProgram } from "../../cli/program.ts";
import { reasons } from "../../lib/errors/reasons.ts";
import type { Initiator, Reason } from "../../lib/errors/reasons.ts";

const path = join(import.meta.dirname, "../../docs/errors.md");
const codes = Object.keys(reasons) as Reason[];

const causedBy: Readonly<Record<Initiator, string>> = {
  local: "this program or its settings",
  application: "the application beside the proxy",
  peer: "the far side",
  network: "the network between",
};

const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;

function sectionOf(code: Reason): string {
  const { initiator, what, hint } = reasons[code];
  return `### ${code}\n\n${sentence(what)} Caused by ${causedBy[initiator]}.\n\nWhat to do: ${hint}.\n`;
}

/** The part of a section that the table dictates. */
const dictated = (code: string): RegExp => new RegExp(`^### ${code}\\n\\n.*\\n\\nWhat to do: .*\\n`, "m");

function update(text: string): string {
  return codes.reduce((page, code, index) => {
    if (dictated(code).test(page)) return page.replace(dictated(code), () => sectionOf(code));
    const previous = codes[index - 1];
    if (previous === undefined) return `${page}\n${sectionOf(code)}`;
    return page.replace(dictated(previous), (before) => `${before}\n${sectionOf(code)}`);
  }, text);
}

describe("docs/errors.md", () => {
  if (process.env["GOLDEN"] === "update") writeFileSync(path, update(readFileSync(path, "utf8")));
  const page = readFileSync(path, "utf8");

  test("has a section for each reason code, in the order of the table, and no other", () => {
    assert.deepEqual(
      [...page.matchAll(/^### (.*)$/gm)].map((match) => match[1]),
      codes,
    );
  });

  for (const code of codes) {
    test(`says of ${code} what the table says`, () => {
      assert.equal(dictated(code).exec(page)?.[0], sectionOf(code));
    });
  }

  test("sends nobody to a command or a field of the log that there is not", () => {
    const screen = { data: () => {}, note: () => {}, width: 80, color: false };
    const commands = buildProgram(screen, () => {}).commands.map((command) => command.name());
    for (const { hint } of Object.values(reasons)) {
      for (const [, name = ""] of hint.matchAll(/\btencrypt ([a-z]+)/g)) assert.ok(commands.includes(name), hint);
      for (const [, name = ""] of hint.matchAll(/\bfield (\w+)/g)) assert.equal(name, "detail", hint);
    }
  });
});
