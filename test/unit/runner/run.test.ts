/** The runner of the tests fails for everything that it must fail for, and cleans up what a test left. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";

const runner = resolve(import.meta.dirname, "../../run.ts");
const head = 'import { test } from "node:test";\n';

type Run = { readonly code: number | null; readonly output: string; readonly last: string };

/** Runs the runner over a tree that holds these test files and nothing else. */
function runFiles(
  t: TestContext,
  files: Record<string, string>,
  env: Record<string, string> = {},
  args = ["unit"],
): Run {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-runner-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "test/unit"), { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, "test/unit", `${name}.test.ts`), text);
  const { NODE_TEST_CONTEXT: _inner, CI: _ci, ...outer } = process.env;
  const ended = spawnSync(process.execPath, [runner, ...args], {
    cwd: folder,
    env: { ...outer, ...env },
    encoding: "utf8",
  });
  const output = ended.stdout + ended.stderr;
  return { code: ended.status, output, last: ended.stdout.trimEnd().split("\n").at(-1)! };
}

describe("the test runner", () => {
  test("ends with 0 and the counts when all tests pass", (t) => {
    const run = runFiles(t, { a: `${head}test("one", () => {});`, b: `${head}test("two", () => {});` });
    assert.equal(run.code, 0, run.output);
    assert.equal(run.last, "3 passed, 0 failed, 0 skipped");
  });

  test("fails for one failed test and shows its error", (t) => {
    const run = runFiles(t, { a: `${head}test("one", () => { throw new Error("broken on purpose"); });` });
    assert.equal(run.code, 1);
    assert.match(run.output, /broken on purpose/);
    assert.equal(run.last, "1 passed, 1 failed, 0 skipped");
  });

  test("shows why the tests of a block did not run: its hook failed", (t) => {
    const block = 'import { before, describe, test } from "node:test";\n';
    const text = `${block}describe("all", () => { before(() => { throw new Error("no ground"); }); test("one", () => {}); });`;
    const run = runFiles(t, { a: text });
    assert.equal(run.code, 1);
    assert.match(run.output, /no ground/);
    assert.equal(run.last, "1 passed, 2 failed, 0 skipped");
  });

  test("prints the reason of a skip, and fails for it in CI alone", (t) => {
    const files = { a: `${head}test("one", { skip: "needs the moon" }, () => {});` };
    const here = runFiles(t, files);
    assert.equal(here.code, 0, here.output);
    assert.match(here.output, /needs the moon \(1 test\)/);
    assert.equal(here.last, "1 passed, 0 failed, 1 skipped");
    assert.equal(runFiles(t, files, { CI: "true" }).code, 1);
  });

  test("counts a skipped block, whose tests nobody can count, as one skip", (t) => {
    const files = {
      a: `import { describe, test } from "node:test";
describe("block", { skip: "needs the moon" }, () => { test("one", () => {}); test("two", () => {}); });`,
    };
    const here = runFiles(t, files);
    assert.equal(here.code, 0, here.output);
    assert.match(here.output, /needs the moon \(1 test\)/);
    assert.equal(here.last, "1 passed, 0 failed, 1 skipped");
    assert.equal(runFiles(t, files, { CI: "true" }).code, 1);
  });

  const faults: Readonly<Record<string, { readonly source: string; readonly says: RegExp }>> = {
    "a skip without a reason": {
      source: `${head}test("one", { skip: true }, () => {});`,
      says: /skipped without a reason/,
    },
    "a test that is still to do": { source: `${head}test("one", { todo: "later" }, () => {});`, says: /no todo/ },
    "a file without a test": { source: "export {};", says: /no test ran/ },
    "a file that cannot be loaded": { source: "throw new Error('cannot load');", says: /cannot load/ },
    "a process that ends with an error": {
      source: `${head}test("one", () => {}); process.on("exit", () => { process.exitCode = 3; });`,
      says: /every test passed, but the process ended with an error/,
    },
    "a file left behind": {
      source: `${head}import fs from "node:fs"; import os from "node:os";\ntest("one", () => fs.mkdtempSync(os.tmpdir() + "/tencrypt-left-"));`,
      says: /nothing left behind\n +file or folder .*tencrypt-left-/,
    },
  };
  for (const [what, { source, says }] of Object.entries(faults)) {
    test(`fails for ${what}`, (t) => {
      const run = runFiles(t, { a: source });
      assert.equal(run.code, 1, run.output);
      assert.match(run.output, says);
    });
  }

  test("ends a file that does not end, and says what it did", (t) => {
    const source = `${head}test("one", () => {}); setInterval(() => {}, 1000);`;
    const run = runFiles(t, { a: source }, { TEST_FILE_SECONDS: "5" });
    assert.equal(run.code, 1);
    assert.match(run.output, /did not end within 5 s/);
    assert.equal(run.last, "2 passed, 1 failed, 0 skipped");
  });

  test("fails for a process left behind, and ends it", (t) => {
    const source = [
      head,
      'import { spawn } from "node:child_process";',
      'test("one", () => {',
      '  const child = spawn("sleep", ["600"], { detached: true, stdio: "ignore" });',
      "  child.unref();",
      "  console.log(`left=${child.pid}.`);",
      '  throw new Error("so that the output is shown");',
      "});",
    ].join("\n");
    const run = runFiles(t, { a: source });
    assert.equal(run.code, 1);
    const pid = /left=([0-9]+)\./.exec(run.output)?.[1] ?? assert.fail(run.output);
    assert.match(run.output, new RegExp(`process ${pid}: sleep 600`));
    // Ended: gone, or a zombie where the machine's first process is slow to collect it.
    const state = existsSync(`/proc/${pid}`) ? readFileSync(`/proc/${pid}/stat`, "utf8").split(" ")[2] : "gone";
    assert.ok(state === "gone" || state === "Z", `state ${state}`);
  });

  const isRoot = process.getuid?.() === 0;
  test("fails for a network namespace left behind, and removes it", { skip: isRoot ? false : "needs root" }, (t) => {
    const source = [
      head,
      'import { execFileSync } from "node:child_process";',
      'test("one", () => { execFileSync("ip", ["netns", "add", `tc-${process.pid}-9-left`]); });',
    ].join("\n");
    const run = runFiles(t, { a: source });
    assert.equal(run.code, 1);
    const name = /network namespace (tc-[0-9]+-9-left)/.exec(run.output)?.[1] ?? assert.fail(run.output);
    assert.equal(existsSync(`/run/netns/${name}`), false);
  });

  test("names what it can select when asked for something else", (t) => {
    const run = runFiles(t, { a: `${head}test("one", () => {});` }, {}, ["nonsense"]);
    assert.equal(run.code, 2);
    assert.match(run.output, /no check and no test is called nonsense\nchecks: static, format, lint/);
  });
});
