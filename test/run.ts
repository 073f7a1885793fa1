/**
 * `npm test`: static checks, then every test file, then the proof that nothing was left behind. Arguments select, by
 * the name of a check (`lint`), of all checks (`static`) or the beginning of a path below test/ (`unit`, `netns/init`).
 * The last line is `N passed, N failed, N skipped`; exit code 0 means that none failed, and in CI that none was skipped.
 */
import { abandonedNamespaces, openRunFolder, removeLeftovers } from "./runner/leftovers.ts";
import { printFile, printSummary } from "./runner/outcome.ts";
import type { Outcome } from "./runner/outcome.ts";
import { removeStale } from "./cluster/cluster.ts";
import { prepare } from "./runner/prepare.ts";
import { runStaticCheck, staticChecks } from "./runner/static-checks.ts";
import { findTestFiles, runTestFiles, selects } from "./runner/test-files.ts";

type Selection = {
  readonly checks: readonly string[];
  readonly files: readonly string[];
  readonly unknown: readonly string[];
};

function select(selectors: readonly string[]): Selection {
  const checks = [...staticChecks.keys()];
  const files = findTestFiles();
  if (selectors.length === 0) return { checks, files, unknown: [] };
  const wantsCheck = (name: string): boolean => selectors.includes("static") || selectors.includes(name);
  const wantsFile = (path: string): boolean => selectors.some((selector) => selects(selector, path));
  const isKnown = (selector: string): boolean =>
    selector === "static" || checks.includes(selector) || files.some((path) => selects(selector, path));
  return {
    checks: checks.filter(wantsCheck),
    files: files.filter(wantsFile),
    unknown: selectors.filter((selector) => !isKnown(selector)),
  };
}

async function runChecks(names: readonly string[], stop: AbortSignal): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const name of names) {
    if (stop.aborted) break;
    const outcome = await runStaticCheck(name, stop);
    printFile(name, [outcome], outcome.ms);
    outcomes.push(outcome);
  }
  return outcomes;
}

async function main(selectors: readonly string[]): Promise<number> {
  const selection = select(selectors);
  if (selection.unknown.length > 0) {
    console.error(`no check and no test is called ${selection.unknown.join(", ")}`);
    console.error(`checks: static, ${[...staticChecks.keys()].join(", ")}; tests: the beginning of a path below test/`);
    return 2;
  }
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => stop.abort());
  const before = abandonedNamespaces();
  const folder = openRunFolder();
  const outcomes: Outcome[] = [];
  try {
    outcomes.push(...(await runChecks(selection.checks, stop.signal)));
    prepare(selection.files);
    outcomes.push(...(await runTestFiles(selection.files, stop.signal)));
  } finally {
    removeStale();
    const left = await removeLeftovers(folder, before);
    const detail = left.join("\n");
    outcomes.push(
      left.length === 0
        ? { kind: "passed", name: "nothing left behind", ms: 0 }
        : { kind: "failed", name: "nothing left behind", ms: 0, detail },
    );
    if (left.length > 0) printFile("nothing left behind", outcomes.slice(-1), 0);
  }
  printSummary(outcomes);
  if (stop.signal.aborted) return 130;
  const isBad = (outcome: Outcome): boolean =>
    outcome.kind === "failed" || (outcome.kind === "skipped" && process.env["CI"] === "true");
  return outcomes.some(isBad) ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
