/**
 * The memory that a container may have: a control group of either version, so that whoever outgrows it is ended by the kernel as in a
 * cluster, and sees its limit. They carry the pid of the test that made them, as namespaces do.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const version1 = "/sys/fs/cgroup/memory";
const version2 = "/sys/fs/cgroup";
const isVersion1 = existsSync(join(version1, "memory.limit_in_bytes"));
const parent = isVersion1 ? version1 : version2;

export type MemoryLimit = {
  /** Who writes its pid here is held to the limit, with all that it starts. */
  readonly procs: string;
  /** How many processes the kernel has ended for want of memory. */
  killed(): number;
  remove(): void;
};

let made = 0;

export function limitMemory(name: string, mib: number): MemoryLimit {
  const folder = join(parent, `tc-${process.pid}-${++made}-${name}`);
  if (!isVersion1) writeFileSync(join(version2, "cgroup.subtree_control"), "+memory");
  mkdirSync(folder);
  writeFileSync(join(folder, isVersion1 ? "memory.limit_in_bytes" : "memory.max"), `${mib * 1024 * 1024}`);
  const counted = join(folder, isVersion1 ? "memory.oom_control" : "memory.events");
  return {
    procs: join(folder, "cgroup.procs"),
    killed: () => Number(/^oom_kill ([0-9]+)$/m.exec(readFileSync(counted, "utf8"))?.[1]),
    remove: () => removeGroup(folder),
  };
}

/** One whose processes have not gone yet stays: the end of the run removes it. */
function removeGroup(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EBUSY") throw error;
  }
}

/** Those of tests that have ended. */
export function removeAbandonedLimits(): void {
  if (!existsSync(parent)) return;
  for (const name of readdirSync(parent)) {
    const owner = /^tc-([0-9]+)-/.exec(name)?.[1];
    if (owner !== undefined && !existsSync(`/proc/${owner}`)) removeGroup(join(parent, name));
  }
}
