/** How long a leaf lives: what was asked for, within what the ca allows. Pure. */
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";

const second = 1000;
export const shortestTtl = 10 * second;

/** `asked` is in seconds; 0 means the default, which is also the longest. */
export function leafTtl(asked: bigint, longest: number): { readonly kind: "ttl"; readonly ttl: number } | Denial {
  if (asked === 0n) return { kind: "ttl", ttl: longest };
  // Lengthening a shorter one would give more than was asked for.
  if (asked < BigInt(shortestTtl / second)) return denial("bad_validity", `asked for ${asked} s`);
  const ttl = asked > BigInt(Math.floor(longest / second)) ? longest : Number(asked) * second;
  return { kind: "ttl", ttl };
}
