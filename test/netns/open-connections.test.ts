/**
 * Rules that become stricter while connections are open: what they would refuse now is reset within a second on both
 * sides, with the reason; everything else, in the tunnel and in clear, goes on. Rules that are no stricter end nothing.
 */
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { refuses } from "../topology/attempts.ts";
import type { Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { echoPort, useShop } from "../topology/shop.ts";

const text = "hello-open-connections";
/** A ClientHello with one cipher suite: enough to be told from everything else. */
const clientHello = Buffer.concat([
  Buffer.from([22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3]),
  Buffer.alloc(32, 7),
  Buffer.from([0, 0, 2, 0x13, 1, 1, 0]),
]);

let opened = 0;
const here = useShop();
const { becomes: shop } = here;

type Open = { readonly from: string; readonly to: string; readonly send?: Buffer };

/** A connection that has echoed; each answer below is about it. */
class Connection {
  readonly #dialer: Child;
  readonly #name = `connection ${++opened}`;
  readonly #sent: Buffer;
  #echoed = 0;

  constructor({ from, send = Buffer.from(text) }: Open) {
    this.#dialer = here.from(from);
    this.#sent = send;
  }

  async open(to: string): Promise<this> {
    await this.#dialer.request({ do: "open", name: this.#name, ...here.at(to) });
    return this.goesOn();
  }

  async goesOn(): Promise<this> {
    this.#echoed += this.#sent.length;
    await this.#dialer.request({ do: "write", name: this.#name, sendBase64: this.#sent.toString("base64") });
    const answer = await this.#dialer.request({ do: "read", name: this.#name, expect: this.#echoed });
    assert.deepEqual([answer["bytes"], answer["ended"]], [this.#echoed, null], JSON.stringify(answer));
    return this;
  }

  /** Reset, as the proxy that holds `reason` against it says; `from` is that proxy's position before the change. */
  async isCut(by: Child, from: number, reason: string): Promise<void> {
    const ended = await this.#dialer.event("ended", (line) => line["name"] === this.#name, { timeoutMs: 2_000 });
    assert.deepEqual([ended["ended"], ended["bytes"]], ["reset", this.#echoed]);
    const isIts = (line: Readonly<Record<string, unknown>>): boolean => line["reason"] === "policy_changed";
    const line = await by.event("connection_closed", isIts, { from });
    assert.match(String(line["detail"]), new RegExp(`^${reason} `), JSON.stringify(line));
  }

  end(): Promise<unknown> {
    return this.#dialer.request({ do: "reset", name: this.#name });
  }
}

const open = (parts: Open): Promise<Connection> => new Connection(parts).open(parts.to);

describe("rules that become stricter end what they would refuse", { skip: needsRoot }, () => {
  beforeEach(() => shop({ mode: "permissive" }));

  test("project: clear between pods of the project, in either direction, and nothing else", async () => {
    const tunnel = await open({ from: "client", to: "server" });
    const outside = await open({ from: "client", to: "web" });
    const fromOutside = await open({ from: "web", to: "server" });
    const clearOut = await open({ from: "client", to: "legacy" });
    const clearIn = await open({ from: "legacy", to: "server" });
    const [client, server] = [here.mesh.proxy("client"), here.mesh.proxy("server")];
    const [atClient, atServer] = [client.position, server.position];
    await shop({ mode: "project" });
    await clearOut.isCut(client, atClient, "peer_not_enrolled");
    await clearIn.isCut(server, atServer, "plaintext_refused");
    for (const connection of [tunnel, outside, fromOutside]) await (await connection.goesOn()).end();
  });

  test("strict: clear to and from other projects too, but for TLS and what is named", async () => {
    const tls = await open({ from: "client", to: "web", send: clientHello });
    const clearOut = await open({ from: "client", to: "web" });
    const clearIn = await open({ from: "web", to: "server" });
    const [client, server] = [here.mesh.proxy("client"), here.mesh.proxy("server")];
    const [atClient, atServer] = [client.position, server.position];
    const web = `${here.mesh.pod("web").ip}/32:${echoPort}`;
    await shop({ mode: "strict", allowIngress: [web] });
    await clearOut.isCut(client, atClient, "egress_not_allowed");
    await clearIn.goesOn();
    await shop({ mode: "strict" });
    await clearIn.isCut(server, atServer, "plaintext_refused");
    await (await tls.goesOn()).end();
  });

  test("allowFrom: callers that it does not name, in the tunnel and in clear", async () => {
    const tunnel = await open({ from: "client", to: "server" });
    const clear = await open({ from: "web", to: "server" });
    const server = here.mesh.proxy("server");
    await shop({ mode: "permissive", allowFrom: ["shop/client:7000", "other/web"] });
    await tunnel.goesOn();
    let position = server.position;
    await shop({ mode: "permissive", allowFrom: ["shop/client:7000"] });
    await clear.isCut(server, position, "caller_not_allowed");
    await tunnel.goesOn();
    position = server.position;
    await shop({ mode: "permissive", allowFrom: ["shop/client:7001"] });
    await tunnel.isCut(server, position, "caller_not_allowed");
  });

  test("a dry run ends nothing", async () => {
    const clear = await open({ from: "client", to: "legacy" });
    await shop({ mode: "permissive", dryRun: "strict" });
    await (await clear.goesOn()).end();
  });

  test("entries that come and go end nothing", async () => {
    await shop({ mode: "project" });
    const clear = await open({ from: "client", to: "web" });
    const tunnel = await open({ from: "client", to: "server" });
    const { projects, workloads } = here.mesh.cluster.directory();
    const sameRules = projects.map((entry) => (entry.name === "shop" ? { ...entry, mode: "project" as const } : entry));
    // A new connection to an address that nobody has any more would be refused.
    const without = workloads.filter(({ pod }) => pod !== "web");
    await here.mesh.publish({ projects: sameRules, workloads: without });
    await refuses(here.from("client"), here.at("web"), text, {
      by: here.mesh.proxy("client"),
      reason: "destination_unknown",
    });
    for (const connection of [clear, tunnel]) await (await connection.goesOn()).end();
  });
});
