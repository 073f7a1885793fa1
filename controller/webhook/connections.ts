/**
 * Who holds how much of the webhooks' server: connections, and bytes of requests that are not answered yet. Any pod of the
 * cluster can dial it, so nobody is served at another one's cost: a source address that goes beyond its own bound loses its
 * own oldest connection, and where all together are too many, the address that holds most gives way. What is being judged
 * is never given up. Sockets are only closed here; nothing is read.
 */
export type Bounds = { readonly connections: number; readonly bytes: number };

/** The API server's own calls come from few addresses, some hundred at once at most. */
export const ofOneSource: Bounds = { connections: 256, bytes: 16 * 1024 * 1024 };
export const ofAll: Bounds = { connections: 1_024, bytes: 64 * 1024 * 1024 };

/** `idle`: between two requests. `waiting`: the request is complete, and its turn has not come. */
export type State = "opening" | "idle" | "reading" | "waiting" | "judged";

export type Connection = {
  readonly source: string;
  readonly socket: { destroy(): unknown };
  state: State;
  /** Of the request that is not answered yet. */
  bytes: number;
};

/** In the order in which they were opened: a Set keeps that of insertion. */
type Source = { readonly open: Set<Connection>; bytes: number };

export class Connections {
  readonly #sources = new Map<string, Source>();
  readonly #each: Bounds;
  readonly #all: Bounds;
  #count = 0;
  #bytes = 0;

  constructor(each: Bounds = ofOneSource, all: Bounds = ofAll) {
    this.#each = each;
    this.#all = all;
  }

  get size(): number {
    return this.#count;
  }

  /** May close another one, or the new one where all others are being judged. */
  open(source: string, socket: Connection["socket"]): Connection {
    const connection: Connection = { source, socket, state: "opening", bytes: 0 };
    const held = this.#sources.get(source) ?? { open: new Set(), bytes: 0 };
    this.#sources.set(source, held);
    held.open.add(connection);
    this.#count++;
    if (held.open.size > this.#each.connections) this.#drop(oldestOf(held, 0));
    else if (this.#count > this.#all.connections) this.#drop(this.#oldestOfLargest(({ open }) => open.size, 0));
    return connection;
  }

  /** More of a request has come. */
  read(connection: Connection, bytes: number): void {
    const held = this.#sources.get(connection.source);
    if (held === undefined || !held.open.has(connection)) return;
    this.#add(connection, held, bytes);
    if (held.bytes > this.#each.bytes) this.#drop(oldestOf(held, 1));
    else if (this.#bytes > this.#all.bytes) this.#drop(this.#oldestOfLargest(({ bytes: all }) => all, 1));
  }

  /** Its request is answered. */
  answered(connection: Connection): void {
    connection.state = "idle";
    const held = this.#sources.get(connection.source);
    if (held?.open.has(connection) === true) this.#add(connection, held, -connection.bytes);
  }

  closed(connection: Connection): void {
    const held = this.#sources.get(connection.source);
    if (held === undefined || !held.open.delete(connection)) return;
    this.#count--;
    this.#add(connection, held, -connection.bytes);
    if (held.open.size === 0) this.#sources.delete(connection.source);
  }

  #add(connection: Connection, held: Source, bytes: number): void {
    connection.bytes += bytes;
    held.bytes += bytes;
    this.#bytes += bytes;
  }

  #oldestOfLargest(sizeOf: (source: Source) => number, leastBytes: number): Connection | null {
    let largest: Source | null = null;
    for (const source of this.#sources.values())
      if (largest === null || sizeOf(source) > sizeOf(largest)) largest = source;
    return largest === null ? null : oldestOf(largest, leastBytes);
  }

  #drop(connection: Connection | null): void {
    if (connection === null) return;
    this.closed(connection);
    connection.socket.destroy();
  }
}

/** One that nobody waits at, if there is one. */
function oldestOf({ open }: Source, leastBytes: number): Connection | null {
  let oldest: Connection | null = null;
  for (const connection of open) {
    if (connection.state === "judged" || connection.bytes < leastBytes) continue;
    if (connection.state === "idle") return connection;
    oldest ??= connection;
  }
  return oldest;
}
