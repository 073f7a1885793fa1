/**
 * Numbers the states of the store: one file a state, named by its number and holding the digest of what was true then.
 * A number is taken by creating its file, and counts if no other one came between it and the number that was read before:
 * of two processes at most one has it, so all agree on number and content.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createFile, namesIn, readOptional, StoreError, tolerate } from "./files.ts";
import { nextNumber } from "./store.ts";
import type { Floor } from "./store.ts";

const numbered = /^[0-9]{20}$/;
const kept = 8;
const mostAttempts = 20;

const fileOf = (version: bigint): string => version.toString().padStart(20, "0");

type State = { readonly version: bigint; readonly digest: string };

/** In their order. */
const numbersIn = async (folder: string): Promise<readonly bigint[]> =>
  ((await namesIn(folder)) ?? [])
    .filter((name) => numbered.test(name))
    .toSorted()
    .map(BigInt);

async function latest(folder: string): Promise<State> {
  const version = (await numbersIn(folder)).at(-1) ?? 0n;
  return { version, digest: ((await readOptional(join(folder, fileOf(version)))) ?? "").trim() };
}

/** Another process may read the last few at this moment. */
async function forget(folder: string): Promise<void> {
  for (const version of (await numbersIn(folder)).slice(0, -kept))
    await tolerate(folder, [], () => rm(join(folder, fileOf(version)), { force: true }));
}

/**
 * `observe` reads the store. It runs after the latest number was read, so what it sees is at least as new as the state
 * that this number stands for; if another process takes the next number meanwhile, everything is done again.
 */
export async function numberState<T>(
  folder: string,
  floor: Floor,
  observe: () => Promise<{ digest: string; state: T }>,
): Promise<{ version: bigint; state: T }> {
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const before = await latest(folder);
    const { digest, state } = await observe();
    if (before.digest === digest && before.version >= floor.atLeast) return { version: before.version, state };
    const version = nextNumber(before.version, floor);
    if (!(await createFile(folder, fileOf(version), `${digest}\n`))) continue;
    const [previous, newest] = [0n, ...(await numbersIn(folder))].slice(-2);
    // Another process was faster, and may have seen more than this one.
    if (previous !== before.version || newest !== version) continue;
    await forget(folder);
    return { version, state };
  }
  throw new StoreError(`${folder}: the state of the store changes faster than it can be numbered`);
}
