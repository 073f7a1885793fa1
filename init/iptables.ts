/**
 * The only door to the operating system for rules: iptables-save, iptables-restore and, for IPv6 that has no rules,
 * the routing policy. No shell, no argument from outside, a bounded wait, and an environment of two variables.
 *
 * Two backends exist, nf_tables and the legacy one. Each is used under its own name, since what plain `iptables` means
 * differs from image to image; plain names serve where an image has no others.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Family } from "./ruleset.ts";

export type Backend = "nft" | "legacy" | "plain";

export type Answer =
  | { readonly kind: "ok"; readonly text: string }
  | { readonly kind: "failed"; readonly command: string; readonly why: string };

export type Iptables = {
  /** Those installed here, the preferred one first. */
  backends(): readonly Backend[];
  /** Whether the backend can hold rules here at all: reading it is then worth a process. */
  inUse(backend: Backend, family: Family): boolean;
  save(backend: Backend, family: Family): Answer;
  /** Changes other people's rules in no table (`keep`); `replace` deletes each table that is named. */
  restore(backend: Backend, family: Family, text: string, how: "test" | "keep" | "replace"): Answer;
  /** The IPv6 routing policy: `ip -6 rule show`. */
  routingPolicy(): Answer;
  /** Lines for `ip -6 -batch -`. */
  changeRoutingPolicy(lines: readonly string[]): Answer;
};

/** The legacy backend waits for a lock that another process may hold. */
const lockSeconds = "5";
const longestWaitMs = 15_000;

const stems: Readonly<Record<Family, string>> = { v4: "iptables", v6: "ip6tables" };
const infixes: Readonly<Record<Backend, string>> = { nft: "-nft", legacy: "-legacy", plain: "" };
const program = (backend: Backend, family: Family, what: "save" | "restore"): string =>
  `${stems[family]}${infixes[backend]}-${what}`;

const modes = { test: ["--noflush", "--test"], keep: ["--noflush"], replace: [] } as const;

/**
 * The nft backend only names a table into which others wrote what iptables does not know, and succeeds. What is ours
 * there is not told.
 */
const untoldTable = /^# Table `(?:filter|mangle|nat)' is incompatible.*$/m;

/** `env` gives PATH and XTABLES_LOCKFILE (the lock of the legacy backend, where /run cannot be written). */
export function systemIptables(env: Readonly<Record<string, string | undefined>>): Iptables {
  const path = env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin";
  const lock = env["XTABLES_LOCKFILE"];
  const childEnv = lock === undefined ? { PATH: path } : { PATH: path, XTABLES_LOCKFILE: lock };
  const run = (command: string, args: readonly string[], input: string): Answer => {
    const done = spawnSync(command, args, { input, env: childEnv, encoding: "utf8", timeout: longestWaitMs });
    if (done.error === undefined && done.status === 0) return { kind: "ok", text: done.stdout };
    const why = done.error?.message ?? (done.stderr.trim() || `exit ${done.status ?? done.signal}`);
    return { kind: "failed", command: [command, ...args].join(" "), why };
  };
  return {
    backends: () => installed(path),
    inUse: (backend, family) => backend !== "legacy" || legacyTables(family),
    save: (backend, family) => {
      const command = program(backend, family, "save");
      const saved = run(command, [], "");
      const untold = saved.kind === "ok" ? untoldTable.exec(saved.text) : null;
      return untold === null ? saved : { kind: "failed", command, why: untold[0] };
    },
    restore: (backend, family, text, how) =>
      run(program(backend, family, "restore"), ["-w", lockSeconds, ...modes[how]], text),
    routingPolicy: () => run("ip", ["-6", "rule", "show"], ""),
    changeRoutingPolicy: (lines) => run("ip", ["-6", "-batch", "-"], `${lines.join("\n")}\n`),
  };
}

function installed(path: string): readonly Backend[] {
  const exists = (backend: Backend): boolean =>
    path.split(":").some((folder) => isExecutable(join(folder, program(backend, "v4", "restore"))));
  const named = (["nft", "legacy"] as const).filter(exists);
  if (named.length > 0) return named;
  return exists("plain") ? ["plain"] : [];
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The kernel names the legacy tables that this network namespace has; a fresh one has none. */
function legacyTables(family: Family): boolean {
  try {
    return readFileSync(`/proc/net/${family === "v4" ? "ip" : "ip6"}_tables_names`, "utf8").trim() !== "";
  } catch {
    return false;
  }
}
