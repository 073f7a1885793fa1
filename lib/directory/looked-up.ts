/**
 * How many addresses that were looked up are remembered for one stream, at both of its ends: of those that somebody holds, and
 * as many that nobody holds. The proxy remembers nothing that the controller does not follow for it.
 */
export const mostLookedUp = 4_096;
