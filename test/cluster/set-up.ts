/**
 * The machine's side of a cluster: binaries and images, made once into a cache folder. `setUp` does nothing where all
 * is current; where something cannot be had it says why instead of throwing, so that a test can be skipped with that.
 *
 * The folder is TENCRYPT_CACHE, else `.cache/tencrypt` in the user's home, else one below /var/tmp.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** `api`: an API server, without root. `node`: nodes that run pods, and images. */
export type Need = "api" | "node";

export type SetUp =
  | { readonly kind: "ready"; readonly cache: string; readonly path: string }
  | { readonly kind: "impossible"; readonly why: string };

const impossibleCode = 77;

function isWritable(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

export function cacheFolder(): string {
  const chosen = process.env["TENCRYPT_CACHE"];
  if (chosen !== undefined && chosen !== "") return chosen;
  const home = join(homedir(), ".cache", "tencrypt");
  return isWritable(home) ? home : `/var/tmp/tencrypt-${process.getuid!()}`;
}

export function setUp(need: Need): SetUp {
  const cache = cacheFolder();
  if (!isWritable(cache)) return { kind: "impossible", why: `the cache folder ${cache} cannot be written` };
  if (need === "node" && process.getuid!() !== 0) {
    return { kind: "impossible", why: "a cluster with nodes needs root" };
  }
  const path = `${join(cache, "bin")}:${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`;
  // The node that runs this is the one that scripts call.
  const env = { ...process.env, TENCRYPT_CACHE: cache, PATH: `${join(process.execPath, "..")}:${path}` };
  for (const script of need === "node" ? ["build.sh", "images.sh", "unpack.sh"] : ["build.sh"]) {
    const run = spawnSync("sh", [join(import.meta.dirname, script), need], {
      env,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
    if (run.status === impossibleCode) return { kind: "impossible", why: run.stdout.trim() };
    if (run.status !== 0) throw new Error(`${script} ended with ${run.status ?? run.signal}: ${run.stdout.trim()}`);
  }
  return { kind: "ready", cache, path };
}
