/** What a process and its children have used, read from /proc. Linux counts CPU time in hundredths of a second here. */
import { readFileSync, readdirSync } from "node:fs";

const msPerTick = 10;

/** The fields of /proc/PID/stat after the name, which is in parentheses and may hold anything. */
function statOf(pid: number): readonly string[] {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

const parentOf = (pid: number): number => Number(statOf(pid)[1]);

function childrenOf(pid: number): readonly number[] {
  const pids = readdirSync("/proc").flatMap((name) => (/^[0-9]+$/.test(name) ? [Number(name)] : []));
  return pids.filter((each) => {
    try {
      return parentOf(each) === pid;
    } catch {
      return false; // ended in between
    }
  });
}

/** The process and its direct children: a master and its workers. */
export const familyOf = (pid: number): readonly number[] => [pid, ...childrenOf(pid)];

/** User and system time in milliseconds. */
export function cpuMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (Number(statOf(pid)[11]) + Number(statOf(pid)[12])) * msPerTick, 0);
}

export type Memory = {
  readonly rss: number;
  readonly anonymous: number;
  readonly file: number;
  readonly proportional: number;
};

/** In KB, summed over the processes. */
export function memoryOf(pids: readonly number[]): Memory {
  const sum = { rss: 0, anonymous: 0, file: 0, proportional: 0 };
  for (const pid of pids) {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    sum.rss += field(status, "VmRSS");
    sum.anonymous += field(status, "RssAnon");
    sum.file += field(status, "RssFile");
    sum.proportional += field(rollup, "Pss");
  }
  return sum;
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+([0-9]+) kB$`, "m").exec(text)?.[1] ?? Number.NaN);
}
