/**
 * A control-plane program's listening socket: hands connections to gRPC, within a bound in all and for each source, and can end every one
 * of them. gRPC's own listener has no such bounds, and cannot end connections that never spoke HTTP/2.
 */
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

export type ConnectionBounds = { readonly all: number; readonly ofOneSource: number };
export type Where = { readonly host: string; readonly port: number };

export class Connections {
  readonly #server: Server;
  readonly #bounds: ConnectionBounds;
  readonly #open = new Set<Socket>();
  readonly #ofSource = new Map<string, number>();

  /** Nothing is read from a connection that is not taken. */
  constructor(bounds: ConnectionBounds, take: (socket: Socket) => void) {
    this.#bounds = bounds;
    this.#server = createServer({ noDelay: true }, (socket) =>
      this.#admit(socket) ? take(socket) : void socket.destroy(),
    );
  }

  async listen({ host, port }: Where): Promise<{ readonly address: string; readonly port: number }> {
    await new Promise<void>((resolve, reject) => this.#server.once("error", reject).listen(port, host, resolve));
    // Later errors are those of accept (no descriptors left): the server goes on by itself.
    this.#server.removeAllListeners("error").on("error", () => {});
    const bound = this.#server.address() as AddressInfo;
    return { address: bound.address, port: bound.port };
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

  #admit(socket: Socket): boolean {
    const source = socket.remoteAddress ?? "";
    const count = this.#ofSource.get(source) ?? 0;
    if (this.#open.size >= this.#bounds.all || count >= this.#bounds.ofOneSource) return false;
    this.#open.add(socket);
    this.#ofSource.set(source, count + 1);
    socket.once("close", () => {
      this.#open.delete(socket);
      const left = (this.#ofSource.get(source) ?? 1) - 1;
      if (left === 0) this.#ofSource.delete(source);
      else this.#ofSource.set(source, left);
    });
    return true;
  }
}
