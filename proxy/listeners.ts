/**
 * The ports of the proxy. Health, metrics and admin are bound at start; the capture ports and the tunnel only once there
 * is a certificate, so that the kernel itself refuses before. Every bound port is one that no connection may name as its
 * original destination.
 */
import type { Server, Socket } from "node:net";
import type { Log } from "../lib/log/log.ts";
import type { ProxyConfig } from "./config.ts";
import { newRecord, refused, sourceOf } from "./connection.ts";
import type { Dataplane } from "./dataplane.ts";
import type { Credentials } from "../lib/enrolment/identity.ts";
import { handleCaptured, handleSession } from "./inbound.ts";
import { captureServer, listen } from "./listen/listener.ts";
import type { Direction } from "./observe/events.ts";
import { handleOutbound } from "./outbound.ts";
import { TunnelListener } from "./session/accept.ts";
import { surplusSession } from "./session/surplus.ts";

type Context = {
  readonly config: ProxyConfig;
  readonly log: Log;
  readonly plane: Dataplane;
  readonly proxyPorts: Set<number>;
  readonly maxHalfOpen: number;
};

const anyAddress: readonly string[] = ["::", "0.0.0.0"];
const loopback: readonly string[] = ["127.0.0.1", "::1"];

export class Listeners {
  readonly #context: Context;
  readonly #servers: Server[] = [];
  #tunnel: TunnelListener | null = null;
  #draining = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Health and metrics on all addresses, admin on loopback. They outlive the drain. */
  async bindServices(services: { health: Server; metrics: Server; admin: Server }): Promise<void> {
    const { ports } = this.#context.config;
    await this.#bindFirst("health", services.health, ports.health);
    await this.#bindFirst("metrics", services.metrics, ports.metrics);
    await this.#bind("admin", services.admin, { host: "127.0.0.1", port: ports.admin });
  }

  /** To be called with the first certificate. */
  async bindCapture(credentials: Credentials): Promise<void> {
    const { config, plane } = this.#context;
    this.#tunnel = this.#createTunnel(credentials);
    await this.#bindFirst("tunnel", this.#tunnel.server, config.ports.tunnel);
    await this.#bindFirst(
      "inbound",
      this.#capture("inbound", (socket) => handleCaptured(socket, plane)),
      config.ports.inbound,
    );
    let port = config.ports.outbound;
    for (const host of loopback) {
      const server = this.#capture("outbound", (socket) => handleOutbound(socket, plane));
      port = (await this.#bind("outbound", server, { host, port })) ?? port;
    }
    this.#servers.push(this.#tunnel.server);
  }

  #createTunnel(first: Credentials): TunnelListener {
    const { plane, maxHalfOpen } = this.#context;
    return new TunnelListener(first, {
      ...plane.welcome,
      expected: () => ({ kind: "projects", projects: plane.welcome.projects() }),
      maxHalfOpen,
      onSession: (session) => {
        plane.accepted.add(session);
        handleSession(session, plane);
        surplusSession(plane.accepted, session)?.destroy("over_limit");
        // Its handshake was under way when the drain began.
        if (this.#draining) session.retire();
      },
      onClose: (session) => plane.accepted.delete(session),
    });
  }

  #capture(direction: Direction, handle: (socket: Socket) => Promise<void>): Server {
    const { plane } = this.#context;
    const server = captureServer((socket) => {
      if (plane.admit(socket)) return plane.guard(socket, handle(socket));
      const record = newRecord(direction, sourceOf(socket).text, plane);
      socket.destroy();
      refused(record, plane.clock, { reason: "over_limit", detail: null });
    });
    this.#servers.push(server);
    return server;
  }

  /** `::` takes both families; a machine without IPv6 has 0.0.0.0. */
  async #bindFirst(name: string, server: Server, port: number): Promise<void> {
    for (const host of anyAddress) if ((await this.#bind(name, server, { host, port })) !== null) return;
  }

  async #bind(name: string, server: Server, at: { host: string; port: number }): Promise<number | null> {
    const bound = await listen(server, at);
    if (bound.kind === "no-family") return null;
    this.#context.proxyPorts.add(bound.port);
    this.#context.log("info", "listening", { name, address: at.host, port: bound.port });
    return bound.port;
  }

  /** New handshakes use the new certificate; sessions that the bundle no longer backs end. Who dialled re-authenticates. */
  renew(credentials: Credentials): void {
    this.#tunnel?.renew(credentials);
    for (const session of this.#context.plane.accepted) {
      session.judge(credentials.bundle);
      session.certificateRenewed(credentials.identity.generation);
    }
  }

  /** Nothing new is taken: the kernel refuses, and peers are told to go away. */
  drain(): void {
    this.#draining = true;
    for (const server of this.#servers) server.close();
    for (const session of this.#context.plane.accepted) session.retire();
  }

  destroy(): void {
    for (const session of this.#context.plane.accepted) session.destroy(null);
  }
}
