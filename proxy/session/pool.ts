/**
 * The sessions that we dialled: a small pool per peer pod and own certificate, normally of one.
 *
 * - A stream never waits in Node's queue: its place is taken with the choice of the session, and at 80 % of the peer's
 *   stream limit another session is opened.
 * - A session that carries a bulk transfer is left to it; small requests get another one.
 * - No peer is dialled for more sessions than it may hold with us: one that lowers its limit after each would have them all.
 * - Dials to one peer are shared: many connections that arrive at once wait for one handshake.
 * - After a renewal of our certificate a session is re-authenticated; one whose peer cannot do that takes no new streams.
 */
import { formatEndpoint } from "../../lib/net/address.ts";
import type { Endpoint } from "../../lib/net/address.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import { dial } from "./dial.ts";
import type { DialFailure, Dialled } from "./dial.ts";
import { streamBudget } from "./flow.ts";
import { Reauthentication } from "./reauthenticate.ts";
import type { ReauthenticationContext } from "./reauthenticate.ts";
import { mostSessionsPerPeer } from "./surplus.ts";
import type { ClientSession } from "./session.ts";
import { uncertified } from "./verify-peer.ts";

/** The pod that must answer there: what the directory says of the address. */
export type PeerTarget = {
  readonly endpoint: Endpoint;
  readonly project: string;
  readonly serviceAccount: string;
  readonly podUid: string;
};

/** Beyond this many sessions with room a peer's streams share the least loaded one. */
const maxSessionsWithRoom = 8;
/** How many handshakes a connection waits for: those that arrive together fill several sessions, one after the other. */
const mostDials = 16;

type Entry = { readonly sessions: Set<ClientSession>; dialling: Promise<Dialled> | null };

export class SessionPool {
  readonly #context: ReauthenticationContext;
  readonly #peers = new Map<string, Entry>();
  readonly #reauthentications = new WeakMap<ClientSession, Reauthentication>();

  constructor(context: ReauthenticationContext) {
    this.#context = context;
  }

  get sessions(): ClientSession[] {
    return [...this.#peers.values()].flatMap((entry) => [...entry.sessions]);
  }

  /** A verified session with a place taken for one stream: the caller opens it, or gives back the place (`streamClosed`). */
  async session(target: PeerTarget): Promise<Dialled> {
    const { endpoint, project, serviceAccount, podUid } = target;
    const key = `${formatEndpoint(endpoint)} ${project}/${serviceAccount} ${podUid}`;
    for (let dials = 0; dials <= mostDials; dials++) {
      const entry = this.#entry(key);
      const session = choose(entry.sessions);
      if (session !== null) {
        session.streamOpened();
        return { kind: "session", session };
      }
      if (entry.sessions.size >= mostSessionsPerPeer) return noRoom;
      entry.dialling ??= this.#dial(target, key, entry).finally(() => this.#dialled(key, entry));
      const dialled = await entry.dialling;
      if (dialled.kind === "failed") return dialled;
    }
    return noRoom;
  }

  #entry(key: string): Entry {
    let entry = this.#peers.get(key);
    if (entry === undefined) {
      entry = { sessions: new Set(), dialling: null };
      this.#peers.set(key, entry);
    }
    return entry;
  }

  async #dial(target: PeerTarget, key: string, entry: Entry): Promise<Dialled> {
    const credentials = this.#context.credentials();
    if (credentials === null) return noCertificate;
    const { endpoint, project, serviceAccount, podUid } = target;
    const expected = { kind: "pod", project, serviceAccount, podUid } as const;
    const dialled = await dial(
      { endpoint, expected },
      { ...this.#context, credentials, onClose: (session) => this.#closed(key, session) },
    );
    if (dialled.kind === "failed") return dialled;
    const { session } = dialled;
    if (streamBudget(session.facts.http2) === 0) {
      session.destroy(null);
      return noRoom;
    }
    if (session.reauthenticates)
      this.#reauthentications.set(session, new Reauthentication(session, expected, this.#context));
    // The certificate may have been renewed, or the bundle replaced, while this dial was under way.
    this.#judge(session, this.#context.credentials() ?? credentials);
    if (!session.facts.http2.destroyed) entry.sessions.add(session);
    return dialled;
  }

  #dialled(key: string, entry: Entry): void {
    entry.dialling = null;
    this.#dropIfEmpty(key, entry);
  }

  #closed(key: string, session: ClientSession): void {
    const entry = this.#peers.get(key);
    if (entry === undefined) return;
    entry.sessions.delete(session);
    this.#dropIfEmpty(key, entry);
  }

  /** Nothing is kept for a peer without a session: peers come and go for as long as the proxy lives. */
  #dropIfEmpty(key: string, { sessions, dialling }: Entry): void {
    if (sessions.size === 0 && dialling === null) this.#peers.delete(key);
  }

  /** New credentials: sessions that the bundle no longer backs end, the others are re-authenticated, or take nothing new. */
  renew(credentials: Credentials): void {
    for (const session of this.sessions) this.#judge(session, credentials);
  }

  #judge(session: ClientSession, { identity, bundle }: Credentials): void {
    session.judge(bundle);
    if (session.terms.generation === identity.generation) return;
    const reauthentication = this.#reauthentications.get(session);
    if (reauthentication === undefined) session.retire();
    else reauthentication.soon();
  }

  /** Lets open streams end; nothing new is opened. */
  drain(): void {
    for (const session of this.sessions) session.retire();
  }

  destroy(): void {
    for (const session of this.sessions) session.destroy(null);
  }
}

const noCertificate: DialFailure = { kind: "failed", ...uncertified, claimed: null };

const noRoom: DialFailure = {
  kind: "failed",
  reason: "session_lost",
  detail: "the peer allows no stream",
  claimed: null,
};

/** Null: dial another one. */
function choose(sessions: ReadonlySet<ClientSession>): ClientSession | null {
  let usable = 0;
  let least: ClientSession | null = null;
  for (const session of sessions) {
    if (!session.usable || session.streams >= streamBudget(session.facts.http2)) continue;
    usable++;
    if (session.bulkStreams === 0) return session;
    if (least === null || session.streams < least.streams) least = session;
  }
  return usable >= maxSessionsWithRoom ? least : null;
}
