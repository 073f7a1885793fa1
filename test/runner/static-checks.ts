/** The checks that run no code of ours: format, lint, types, dead code, and generated code that is current. */
import { execFile } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Outcome } from "./outcome.ts";

/** Each is one shell command that prints nothing worth reading when it succeeds. */
export const staticChecks: ReadonlyMap<string, { readonly command: string; readonly remedy: string }> = new Map([
  ["format", { command: "oxfmt --check", remedy: "npm run format" }],
  ["lint", { command: "oxlint", remedy: "read the rule's help above" }],
  ["types", { command: "tsc -p tsconfig.json", remedy: "npm run typecheck" }],
  ["unused", { command: "knip", remedy: "delete what nothing uses" }],
  [
    "generated",
    {
      command:
        'sh lib/proto/generate.sh "$OUT" && diff -r lib/proto/gen "$OUT/lib/proto/gen"; code=$?; rm -rf "$OUT"; exit $code',
      remedy: "npm run generate",
    },
  ],
]);

export async function runStaticCheck(name: string, signal: AbortSignal): Promise<Outcome> {
  const check = staticChecks.get(name);
  if (check === undefined) throw new Error(`no such check: ${name}`);
  const started = performance.now();
  const folder = name === "generated" ? { OUT: mkdtempSync(join(tmpdir(), "tencrypt-generated-")) } : {};
  const { code, output } = await shell(check.command, { ...process.env, ...folder, NO_COLOR: "1" }, signal);
  const ms = performance.now() - started;
  if (code === 0) return { kind: "passed", name, ms };
  return { kind: "failed", name, ms, detail: `${output}\nnext: ${check.remedy}` };
}

function shell(
  command: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<{ readonly code: number; readonly output: string }> {
  const options = { env, signal, maxBuffer: 64 * 1024 * 1024 };
  return new Promise((resolve) => {
    execFile("sh", ["-c", command], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : 1, output: [stdout, stderr].filter((text) => text !== "").join("\n") });
    });
  });
}
