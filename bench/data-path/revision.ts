/** The programs of another commit of this repository, built by that commit's own tools. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

function must(command: string, args: readonly string[], cwd: string): void {
  const { status, error, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}: ${stderr}`);
}

/** Into `out`, as `npm run build` makes `dist/`. Takes the time of `npm ci`. */
export function buildRevision(revision: string, out: string): void {
  const clone = mkdtempSync(join(tmpdir(), "tencrypt-bench-"));
  try {
    must("git", ["clone", "--quiet", "--no-checkout", root, clone], root);
    must("git", ["checkout", "--quiet", "--detach", revision], clone);
    must("npm", ["run", "--silent", "build", "--", out], clone);
  } finally {
    rmSync(clone, { recursive: true, force: true });
  }
}
