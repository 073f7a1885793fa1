/**
 * How many sessions one peer pod may hold here. A proxy of ours needs one, a few more beside bulk transfers, and those of
 * its last certificate; each may make us hold up to a session's window of unread data. Pure.
 */
import type { Peer } from "../../lib/x509/verify.ts";

export const mostSessionsPerPeer = 32;

type Counted = { readonly streams: number; readonly terms: { readonly peer: Pick<Peer, "pod" | "uri"> } };

const holderOf = ({ terms: { peer } }: Counted): string => peer.pod?.podUid ?? peer.uri;

/**
 * The session to end now that `newest` has come, or null: the oldest of its peer without streams, else the newest
 * itself. `sessions` holds `newest` and is in the order in which they came.
 */
export function surplusSession<S extends Counted>(sessions: Iterable<S>, newest: S): S | null {
  let count = 0;
  let idle: S | null = null;
  for (const session of sessions) {
    if (holderOf(session) !== holderOf(newest)) continue;
    count++;
    if (idle === null && session !== newest && session.streams === 0) idle = session;
  }
  return count > mostSessionsPerPeer ? (idle ?? newest) : null;
}
