/**
 * The bundles are what the image runs, so they are started here: alone in a folder without packages or sources, with an
 * empty environment.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Metafile } from "esbuild";
import { bundleAll, bundleProgram, programs } from "../../build/bundle.ts";

const root = resolve(import.meta.dirname, "../..");
const out = mkdtempSync(join(tmpdir(), "tencrypt-dist-"));

type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

function run(main: string, args: readonly string[], env: Readonly<Record<string, string>>): Ended {
  const ended = spawnSync(process.execPath, [main, ...args], { cwd: "/", env, encoding: "utf8", timeout: 20_000 });
  return { code: ended.status, stdout: ended.stdout, stderr: ended.stderr };
}

/** Packages of everything that is loaded before the first dynamic import. */
function packagesAtStart(metafile: Metafile, program: string): ReadonlySet<string> {
  const reached = new Set<string>();
  const visit = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const { kind, path: next } of metafile.outputs[path]?.imports ?? []) {
      if (kind === "import-statement" && metafile.outputs[next] !== undefined) visit(next);
    }
  };
  visit(Object.keys(metafile.outputs).find((path) => path.endsWith(`/${program}/main.js`))!);
  const inputs = [...reached].flatMap((path) => Object.keys(metafile.outputs[path]!.inputs));
  return new Set(inputs.flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []));
}

describe("a bundle", () => {
  before(() => bundleAll(out));
  after(() => rmSync(out, { recursive: true }));

  /** A person calls the command line, and Helm gives the hook its argument: what these say without is their tests'. */
  const settingsOnly = programs.filter((program) => program !== "cli");

  for (const program of settingsOnly) {
    test(`of ${program} without settings lists every problem and ends with 64`, () => {
      // init looks at its capabilities first, unless it is to print only; hook has settings that all have defaults.
      const args = { init: ["--print"], hook: ["trust"] }[program as string] ?? [];
      const env = program === "hook" ? { TENCRYPT_HOOK_DEADLINE: "soon" } : {};
      const { code, stdout, stderr } = run(join(out, program, "main.js"), args, env);
      assert.equal(stderr, "");
      assert.equal(code, 64);
      const lines = stdout.trimEnd().split("\n");
      assert.equal(lines.length, 1);
      const { problems } = JSON.parse(lines[0]!) as { problems: string[] };
      assert.ok(problems.length > 0 && problems.every((problem) => problem.startsWith("TENCRYPT_")), stdout);
    });
  }

  test("of the command line starts, and ends with 2 for wrong usage", () => {
    const main = join(out, "cli/main.js");
    assert.equal(run(main, ["explain", "peer_not_enrolled"], {}).code, 0);
    assert.equal(run(main, ["nonsense"], {}).code, 2);
  });

  test("of init prints the ruleset that its source prints", () => {
    const env = { TENCRYPT_PROXY_UID: "1337", TENCRYPT_UDP: "dns-only", TENCRYPT_CAPTURE: "1001:15101" };
    const bundled = run(join(out, "init/main.js"), ["--print"], env);
    const source = run(join(root, "init/main.ts"), ["--print"], env);
    assert.deepEqual(bundled, source);
    assert.equal(bundled.code, 0);
    assert.match(bundled.stdout, /--uid-owner 1001 .*15101/);
  });

  test("of the proxy loads neither OpenTelemetry nor gRPC at its start", async () => {
    const metafile = await bundleProgram("proxy", join(out, "again"));
    assert.deepEqual([...packagesAtStart(metafile, "proxy")], []);
    assert.ok(Object.keys(metafile.inputs).some((path) => path.includes("node_modules/@grpc/grpc-js")));
  });
});
