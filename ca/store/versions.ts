/**
 * Numbers the states of the store: one file a state, named by its number and holding the digest of what was true then.
 * A number is taken by creating its file, which only one process can, so all processes agree on number and content.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createFile, namesIn, readOptional, StoreError, tolerate } from "./files.ts";

const numbered = /^[0-9]{20}$/;
const kept = 8n;
const mostAttempts = 20;

const fileOf = (version: bigint): string => version.toString().padStart(20, "0");

type State = { readonly version: bigint; readonly digest: string };

async function latest(folder: string): Promise<State> {
  const names = ((await namesIn(folder)) ?? []).filter((name) => numbered.test(name)).toSorted();
  const name = names.at(-1);
  if (name === undefined) return { version: 0n, digest: "" };
  return { version: BigInt(name), digest: ((await readOptional(join(folder, name))) ?? "").trim() };
}

async function forget(folder: string, upTo: bigint): Promise<void> {
  for (const name of (await namesIn(folder)) ?? []) {
    if (numbered.test(name) && BigInt(name) <= upTo)
      await tolerate(folder, [], () => rm(join(folder, name), { force: true }));
  }
}

/**
 * `observe` reads the store. It runs after the latest number was read, so what it sees is at least as new as the state
 * that this number stands for; if another process takes the next number meanwhile, everything is done again.
 */
export async function numberState<T>(
  folder: string,
  atLeast: bigint,
  observe: () => Promise<{ digest: string; state: T }>,
): Promise<{ version: bigint; state: T }> {
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const before = await latest(folder);
    const { digest, state } = await observe();
    if (before.digest === digest && before.version >= atLeast) return { version: before.version, state };
    const version = (before.version > atLeast ? before.version : atLeast) + 1n;
    const mine = await createFile(folder, fileOf(version), `${digest}\n`);
    if (!mine || (await latest(folder)).version !== version) continue;
    await forget(folder, version - kept);
    return { version, state };
  }
  throw new StoreError(`${folder}: the state of the store changes faster than it can be numbered`);
}
