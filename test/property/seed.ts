/** How the property tests draw: one seed a process, printed, and set by TENCRYPT_TEST_SEED to see a failure again. */

export type Draw = { readonly seed: number; readonly numRuns: number };

const given = process.env["TENCRYPT_TEST_SEED"];
const seed = given === undefined ? Math.floor(Math.random() * 0x7fff_ffff) : Number(given);
if (!Number.isSafeInteger(seed)) throw new Error(`TENCRYPT_TEST_SEED is no integer: ${given}`);
console.log(`# TENCRYPT_TEST_SEED=${seed}`);

export const draw = (numRuns: number): Draw => ({ seed, numRuns });
