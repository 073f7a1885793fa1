/**
 * Network namespaces by name: `tc-<pid>-<cluster>-<what>`. The owner's pid is in the name, so what a killed run left
 * behind is found and removed by the next one, and nothing that another live run owns is touched.
 */
import { existsSync, readdirSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { must, run } from "./child.ts";

const folder = "/run/netns";
const ours = /^tc-([0-9]+)-[0-9]+-/;

export const namespaceName = (cluster: number, what: string): string => `tc-${process.pid}-${cluster}-${what}`;

/** Runs before the first device is made in it: addresses are usable at once, nothing is learned from routers. */
const sysctls = [
  "ipv6/conf/default/accept_dad=0",
  "ipv6/conf/all/accept_dad=0",
  "ipv6/conf/default/accept_ra=0",
  "ipv6/conf/all/accept_ra=0",
];
const applySysctls = sysctls
  .map((entry) => `echo ${entry.split("=")[1]} > /proc/sys/net/${entry.split("=")[0]}`)
  .join(" && ");

export async function createNamespace(name: string): Promise<void> {
  await must(["ip", "netns", "add", name]);
  await must(["nsenter", `--net=${folder}/${name}`, "sh", "-c", `${applySysctls} && ip link set lo up`]);
}

/** Several `ip` commands inside of one namespace, in order. */
export async function ip(netns: string, ...commands: readonly string[]): Promise<void> {
  await must(["ip", "-n", netns, "-batch", "-"], `${commands.join("\n")}\n`);
}

/** Also from an exit handler, so without a promise. Deleting what is gone is no error. */
export function deleteNamespaces(names: readonly string[]): void {
  for (const name of names) if (existsSync(`${folder}/${name}`)) spawnSync("ip", ["netns", "del", name]);
}

/** Ends what still runs in namespaces of runs that are dead, and deletes these. */
export async function removeStaleNamespaces(): Promise<void> {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const stale = names.filter((name) => {
    const owner = ours.exec(name)?.[1];
    return owner !== undefined && !existsSync(`/proc/${owner}`);
  });
  for (const name of stale) {
    const { stdout } = await run(["ip", "netns", "pids", name]);
    for (const pid of stdout.split("\n").filter((line) => line !== "")) endQuietly(Number(pid));
  }
  deleteNamespaces(stale);
}

function endQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself in between.
  }
}
