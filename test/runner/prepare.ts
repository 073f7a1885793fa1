/**
 * What tests need that is built before them. Once for a machine: Kubernetes and what belongs to it, minutes on a fresh one; it
 * is made before the first test, so that no test's own time has to hold it, and where it cannot be had, the tests say so
 * themselves. Once for a run: the bundles of our programs, which tests in network namespaces start.
 */
import { execFileSync } from "node:child_process";
import { existsSync, globSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setUp } from "../cluster/set-up.ts";

const root = join(import.meta.dirname, "../..");
const onNodes = /^test\/(?:cluster|e2e)\//;
const onApiServers = /^test\/(?:chart|integration\/(?:ca|cli|controller|kube))\//;
const inNamespaces = /^test\/netns\//;

export function prepare(files: readonly string[]): void {
  const wantsNodes = files.some((path) => onNodes.test(path));
  if (wantsNodes && process.getuid!() === 0) setUp("node");
  else if (wantsNodes || files.some((path) => onApiServers.test(path))) setUp("api");
  if (files.some((path) => inNamespaces.test(path))) bundle();
}

/** Inside of the repository, which is what pods see; in a folder of this run's, as two may go on at once. */
const bundles = "node_modules/.cache/bundles-";

function bundle(): void {
  for (const left of globSync(`${bundles}*`, { cwd: root })) {
    if (!existsSync(`/proc/${left.slice(bundles.length)}`)) rmSync(join(root, left), { recursive: true, force: true });
  }
  const path = `${bundles}${process.pid}`;
  process.once("exit", () => rmSync(join(root, path), { recursive: true, force: true }));
  execFileSync(process.execPath, [join(root, "build/main.ts"), join(root, path)], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  process.env["TENCRYPT_TEST_BUNDLES"] = path;
}
