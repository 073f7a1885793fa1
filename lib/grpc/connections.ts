/**
 * A control-plane program's listening socket: hands connections to gRPC, within a bound in all and for each source, and can
 * end every one of them. gRPC's own listener has no such bounds, and cannot end connections that never spoke HTTP/2.
 *
 * Whoever comes is let in, and where there are too many, another one gives way: a source that has all that it may have loses
 * its own oldest, and where all together are too many, the source that holds most loses its oldest. Those whose caller is
 * not proven go first, so connections that only hold a place shut nobody out, and end nobody's open stream.
 */
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import type { HostPort } from "../net/host-port.ts";
import { listen } from "../server/listen.ts";

export type ConnectionBounds = { readonly all: number; readonly ofOneSource: number };

type Connection = {
  readonly socket: Socket;
  /** Address and port of the other end, as gRPC names it. */
  readonly peer: string;
  readonly source: string;
};
/** Each in the order in which they were opened, or proven: a Set keeps that of insertion. */
type Source = { readonly unproven: Set<Connection>; readonly proven: Set<Connection> };

export class Connections {
  readonly #server: Server;
  readonly #bounds: ConnectionBounds;
  /** All that are not closed yet, those that gave way among them. */
  readonly #open = new Set<Socket>();
  readonly #sources = new Map<string, Source>();
  readonly #ofPeer = new Map<string, Connection>();
  #count = 0;

  constructor(bounds: ConnectionBounds, take: (socket: Socket) => void) {
    this.#bounds = bounds;
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#admit(socket);
      take(socket);
    });
  }

  listen(where: HostPort): ReturnType<typeof listen> {
    return listen(this.#server, where);
  }

  /** It is known who calls on the connection from this address and port; one that is gone does not matter. */
  proven(peer: string): void {
    const connection = this.#ofPeer.get(peer);
    if (connection === undefined) return;
    const source = this.#sources.get(connection.source);
    if (source?.unproven.delete(connection) === true) source.proven.add(connection);
  }

  /** Takes no more. */
  close(): void {
    this.#server.close();
  }

  endAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  /** Resolves once no connection is left. */
  async ended(): Promise<void> {
    await Promise.all([...this.#open].map((socket) => new Promise((resolve) => socket.once("close", resolve))));
  }

  #admit(socket: Socket): void {
    // One that is closed already has neither address nor port.
    const { remoteAddress = "", remotePort = 0 } = socket;
    const connection = { socket, peer: `${remoteAddress}:${remotePort}`, source: remoteAddress };
    this.#makeRoom(remoteAddress);
    const source = this.#sources.get(remoteAddress) ?? { unproven: new Set(), proven: new Set() };
    this.#sources.set(remoteAddress, source);
    source.unproven.add(connection);
    this.#ofPeer.set(connection.peer, connection);
    this.#count++;
    this.#open.add(socket);
    socket.once("close", () => {
      this.#open.delete(socket);
      this.#forget(connection);
    });
  }

  #makeRoom(name: string): void {
    const own = this.#sources.get(name);
    if (own !== undefined && own.unproven.size + own.proven.size >= this.#bounds.ofOneSource)
      this.#drop(oldest(own.unproven) ?? oldest(own.proven));
    else if (this.#count >= this.#bounds.all)
      this.#drop(this.#oldestOfBusiest("unproven") ?? this.#oldestOfBusiest("proven"));
  }

  #oldestOfBusiest(standing: keyof Source): Connection | null {
    let busiest: Source | null = null;
    for (const source of this.#sources.values())
      if (busiest === null || source[standing].size > busiest[standing].size) busiest = source;
    return busiest === null ? null : oldest(busiest[standing]);
  }

  #drop(connection: Connection | null): void {
    if (connection === null) return;
    // At once: it is closed only later, and others may come until then.
    this.#forget(connection);
    connection.socket.destroy();
  }

  #forget(connection: Connection): void {
    const { peer, source: name } = connection;
    const source = this.#sources.get(name);
    if (source === undefined || !(source.unproven.delete(connection) || source.proven.delete(connection))) return;
    this.#count--;
    if (source.unproven.size + source.proven.size === 0) this.#sources.delete(name);
    // The same address and port may be another connection's by now.
    if (this.#ofPeer.get(peer) === connection) this.#ofPeer.delete(peer);
  }
}

const oldest = (connections: ReadonlySet<Connection>): Connection | null => connections.values().next().value ?? null;
