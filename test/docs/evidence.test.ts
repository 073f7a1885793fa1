/** Every command on docs/evidence.md runs something, and every file of tests in namespaces and clusters is run by one of them. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { selects } from "../runner/test-files.ts";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/evidence.md"), "utf8");
const commands = [...page.matchAll(/^\|.*\| (.*) \|$/gm)].flatMap(([, cell = ""]) =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, command = ""]) => command),
);
const selectors = commands
  .filter((command) => command.startsWith("npm test -- "))
  .flatMap((command) => command.split(" ").slice(3));
const files = globSync("test/**/*.test.ts", { cwd: root });

test("each command is there", () => {
  assert.ok(selectors.length > 50, `${selectors.length} selectors`);
  assert.deepEqual(
    commands.filter(
      (command) => !/^npm (?:test -- [a-z0-9/ -]+|run bench(?: -- (?:[a-z-]+|--against REV))?)$/.test(command),
    ),
    [],
  );
});

test("each selects a test", () => {
  assert.deepEqual(
    selectors.filter((selector) => !files.some((file) => selects(selector, file))),
    [],
  );
  const benches = commands.flatMap((command) => /^npm run bench -- ([a-z][a-z-]*)$/.exec(command)?.[1] ?? []);
  assert.deepEqual(
    benches.filter((name) => !existsSync(join(root, `bench/${name}.ts`))),
    [],
  );
});

test("each file of tests in namespaces and clusters is selected", () => {
  const must = files.filter((file) => /^test\/(?:netns|e2e|cluster)\//.test(file));
  assert.ok(must.length > 40);
  assert.deepEqual(
    must.filter((file) => !selectors.some((selector) => selects(selector, file))),
    [],
  );
});
