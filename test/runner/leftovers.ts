/**
 * Proves that a run leaves nothing behind, and removes what it left: no network namespace, no process, no file.
 *
 * Every process of the run gets a temporary folder of the run's own as TMPDIR, so what is in it, and who was started
 * with it, is known without looking at what others do on the machine. Namespaces carry the pid of the test that made
 * them (`tc-<pid>-...`): one whose owner is gone was left behind.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { removeAbandonedLimits } from "../topology/memory-limits.ts";

const namespaceFolder = "/run/netns";
/** A process that has been told to end gets this long. */
const graceMs = 3000;

/** Makes the run's temporary folder and hands it to every process that the run starts. */
export function openRunFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-run-"));
  chmodSync(folder, 0o755); // proxies under their own UID read what tests write below it
  process.env["TMPDIR"] = folder;
  // What Node compiled for one program is there for the next: a fifth of the unit tests' CPU, a third from the second run
  // on. Without it npm makes one in TMPDIR, and leaves it there.
  process.env["NODE_COMPILE_CACHE"] = join(import.meta.dirname, "../../node_modules/.cache/compiled");
  return folder;
}

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`);

export function abandonedNamespaces(): readonly string[] {
  if (!existsSync(namespaceFolder)) return [];
  return readdirSync(namespaceFolder).filter((name) => {
    const owner = /^tc-([0-9]+)-/.exec(name)?.[1];
    return owner !== undefined && !isAlive(Number(owner));
  });
}

function readOr(read: () => string): string {
  try {
    return read();
  } catch {
    return ""; // ended meanwhile, or another user's
  }
}

function belongsTo(pid: number, folder: string): boolean {
  const proc = `/proc/${pid}`;
  if (/^PPid:\s*(\d+)$/m.exec(readOr(() => readFileSync(`${proc}/status`, "utf8")))?.[1] === String(process.pid))
    return true;
  const where = [`${proc}/environ`, `${proc}/cmdline`].map((path) => readOr(() => readFileSync(path, "utf8")));
  return [...where, readOr(() => readlinkSync(`${proc}/cwd`))].some((text) => text.includes(folder));
}

function processesOf(folder: string): readonly number[] {
  const pids = readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number);
  return pids.filter((pid) => pid !== process.pid && belongsTo(pid, folder) && !isZombie(pid));
}

const isZombie = (pid: number): boolean =>
  /^State:\s*Z/m.test(readOr(() => readFileSync(`/proc/${pid}/status`, "utf8")));

const commandOf = (pid: number): string =>
  readOr(() => readFileSync(`/proc/${pid}/cmdline`, "utf8"))
    .replaceAll("\0", " ")
    .trim()
    .slice(0, 200);

async function processesAfterGrace(folder: string): Promise<readonly number[]> {
  const deadline = performance.now() + graceMs;
  let left = processesOf(folder);
  while (left.length > 0 && performance.now() < deadline) {
    await sleep(50);
    left = processesOf(folder);
  }
  return left;
}

/** Removes all that the run left and says what it was; an empty list is what a run must end with. */
export async function removeLeftovers(folder: string, before: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await processesAfterGrace(folder)) {
    found.push(`process ${pid}: ${commandOf(pid)}`);
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // it ended by itself
    }
  }
  for (const name of abandonedNamespaces()) {
    if (!before.includes(name)) found.push(`network namespace ${name}`);
    execFileSync("ip", ["netns", "del", name]);
  }
  removeAbandonedLimits();
  found.push(...readdirSync(folder).map((name) => `file or folder ${join(folder, name)}`));
  rmSync(folder, { recursive: true, force: true });
  return found;
}
