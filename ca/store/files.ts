/**
 * Files that are whole or absent, on a folder that several processes share.
 *
 * `installTogether` makes several files appear as one set of which all processes see the same: whoever renames its
 * prepared folder to `.made` first has decided the content; everybody, also after a crash, only finishes that one.
 */
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import type { Stats } from "node:fs";
import { link, mkdir, open, readFile, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

const made = ".made";

/** Something in the store that an operator has to mend; the message is one line and names the file. */
export class StoreError extends Error {}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? "unknown";

/** Runs `operation`; an error of one of these codes gives null, any other a `StoreError` that names the path. */
export async function tolerate<T>(
  path: string,
  codes: readonly string[],
  operation: () => Promise<T>,
): Promise<T | null> {
  try {
    return await operation();
  } catch (error) {
    if (error instanceof StoreError) throw error;
    if (codes.includes(codeOf(error))) return null;
    throw new StoreError(`${path}: ${codeOf(error)}`);
  }
}

/** The content, or null if there is no such file. */
export const readOptional = (path: string): Promise<string | null> =>
  tolerate(path, ["ENOENT", "ENOTDIR"], () => readFile(path, "utf8"));

/** Names in a folder, or null if there is no such folder. */
export const namesIn = (folder: string): Promise<string[] | null> =>
  tolerate(folder, ["ENOENT", "ENOTDIR"], () => readdir(folder));

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  const handle = await open(path, "wx", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The folder above has to be there: a store that was taken away is not made again behind its owner's back. */
export async function ensureFolder(folder: string): Promise<void> {
  await tolerate(folder, ["EEXIST"], () => mkdir(folder, { mode: 0o700 }));
}

/** Makes the file with this content unless it exists; true if it is ours. */
export async function createFile(folder: string, name: string, text: string): Promise<boolean> {
  const path = join(folder, name);
  const prepared = join(folder, `.prepared-${randomBytes(8).toString("hex")}`);
  await ensureFolder(folder);
  const done = await tolerate(path, ["EEXIST"], async () => {
    try {
      // On a full disk the file is made, and remains empty.
      await writeSynced(prepared, text);
      await link(prepared, path);
    } finally {
      await rm(prepared, { force: true });
    }
    await syncFolder(folder);
    return true;
  });
  return done ?? false;
}

/** Moves what a decided `.made` holds to its place; true if there was one. */
export async function finishInstall(folder: string): Promise<boolean> {
  const names = await namesIn(join(folder, made));
  if (names === null) return false;
  for (const name of names) {
    // EEXIST: already there; ENOENT: another process finished and tidied up in the meantime.
    await tolerate(join(folder, name), ["EEXIST", "ENOENT"], () => link(join(folder, made, name), join(folder, name)));
  }
  await tolerate(folder, ["ENOENT"], () => syncFolder(folder));
  // ENOTEMPTY: a late process's set took the place of the emptied one. It decides nothing any more; its owner tidies up.
  await tolerate(folder, ["ENOTEMPTY"], () => rm(join(folder, made), { recursive: true, force: true }));
  return true;
}

/** Makes all these files appear, unless another process was first: the caller reads back what there is then. */
export async function installTogether(folder: string, files: ReadonlyMap<string, string>): Promise<void> {
  const staging = join(folder, `.staging-${randomBytes(8).toString("hex")}`);
  await ensureFolder(folder);
  await ensureFolder(staging);
  try {
    await tolerate(folder, [], async () => {
      for (const [name, text] of files) await writeSynced(join(staging, name), text);
      await syncFolder(staging);
    });
  } catch (error) {
    await rm(staging, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
  const decided = await tolerate(folder, ["ENOTEMPTY", "EEXIST"], () =>
    rename(staging, join(folder, made)).then(() => true),
  );
  if (decided === null) await tolerate(folder, [], () => rm(staging, { recursive: true, force: true }));
  await finishInstall(folder);
}

/** What a file is known by: another one, or another content, has another stamp. */
export const stampOf = ({ ino, size, mtimeMs, ctimeMs }: Stats): string => [ino, size, mtimeMs, ctimeMs].join(" ");

/** The file system's clock stands still for some milliseconds at a time: what changed just now may change unseen. */
const settledMs = 1000;

/**
 * What these files are known by while nobody changes them: if it is the same again, so is what was read in between. Null
 * where one is absent or too new to tell. Synchronous, as an inode at hand takes 1 us, and a promise for it 65 of CPU.
 */
export function stateOf(paths: readonly string[], now: number): string | null {
  const states = paths.map((path) => stateOfFile(path, now));
  return states.includes(null) ? null : states.join("\n");
}

function stateOfFile(path: string, now: number): string | null {
  try {
    const file = statSync(path);
    return now - file.ctimeMs < settledMs ? null : stampOf(file);
  } catch {
    // Whoever reads it says why.
    return null;
  }
}

export type Pair = { readonly certificate: string; readonly key: string };
export type PairNames = { readonly certificate: string; readonly key: string };

/** Both files, or null if there is neither; one without the other is an error and is never completed by guessing. */
export async function readPair(folder: string, names: PairNames): Promise<Pair | null> {
  for (let attempt = 0; ; attempt++) {
    const finished = await finishInstall(folder);
    const certificate = await readOptional(join(folder, names.certificate));
    const key = await readOptional(join(folder, names.key));
    if (certificate !== null && key !== null) return { certificate, key };
    if (certificate === null && key === null) return null;
    // A set that appears while it is read looks like half of one: look again before complaining.
    if (attempt >= 2 || (attempt === 1 && !finished)) {
      const [present, absent] = certificate === null ? [names.key, names.certificate] : [names.certificate, names.key];
      throw new StoreError(`${join(folder, present)} is there but ${absent} is not: restore it, or remove both`);
    }
  }
}
