/** The folder of a cluster: any user may enter it, the owner's pid is in its name, and it goes with its owner. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ours = /^tencrypt-topology-([0-9]+)-/;

/** Inside of the folder: where a process of a pod may see the code mounted. */
export const mountPoint = "code";

export function clusterFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), `tencrypt-topology-${process.pid}-`));
  chmodSync(folder, 0o711);
  mkdirSync(join(folder, mountPoint));
  return folder;
}

/** First the mount point alone, which fails unless it is empty: whatever happens, nothing is deleted through a mount. */
export function removeFolder(folder: string): void {
  if (!existsSync(folder)) return;
  if (existsSync(join(folder, mountPoint))) rmdirSync(join(folder, mountPoint));
  rmSync(folder, { recursive: true, force: true });
}

/** What runs left behind that could not clean up. */
export function removeStaleFolders(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = ours.exec(name)?.[1];
    if (owner !== undefined && !existsSync(`/proc/${owner}`)) removeFolder(join(tmpdir(), name));
  }
}
