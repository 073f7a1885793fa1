/**
 * What tests need that is built once: minutes on a fresh machine, nothing on one that has it. It is made before the first
 * test, so that no test's own time has to hold it. Where it cannot be had, the tests say so themselves.
 */
import { setUp } from "../cluster/set-up.ts";

const onNodes = /^test\/(?:cluster|e2e)\//;
const onApiServers = /^test\/(?:chart|integration\/(?:ca|cli|controller|kube))\//;

export function prepare(files: readonly string[]): void {
  const wantsNodes = files.some((path) => onNodes.test(path));
  if (wantsNodes && process.getuid!() === 0) setUp("node");
  else if (wantsNodes || files.some((path) => onApiServers.test(path))) setUp("api");
}
