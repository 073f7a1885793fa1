/**
 * What `tencrypt check --pre --probe` runs on each node, before anything is installed. The rules were set, proven and taken
 * away again before; here the pod answers whoever calls with the address that the call came from, and calls others that
 * do the same. All is told in the log. It goes on answering until it is told to stop.
 */
import { once } from "node:events";
import { get } from "node:http";
import type { Server } from "node:http";
import type { Clock } from "../lib/clock/clock.ts";
import { pageServer, plainPage } from "../lib/http/page-server.ts";
import { control } from "../lib/kube/names.ts";
import type { Log } from "../lib/log/log.ts";
import { ipFromSocket } from "../lib/net/address.ts";
import { parseHostPort } from "../lib/net/host-port.ts";
import type { HostPort } from "../lib/net/host-port.ts";

/** That of the webhooks: what is between the API server and a pod may let some ports pass alone. */
const { webhookPort: port } = control.controller;

/** A Service has no endpoints before its pod is ready, and nodes hear of them later. */
const patienceMs = 20_000;
const pauseMs = 250;
const answerMs = 2_000;

type Peers = { readonly peers: readonly HostPort[]; readonly problems: readonly string[] };

export function readPeers(texts: readonly string[]): Peers {
  const read = texts.map((text) => ({ text, peer: parseHostPort(text) }));
  return {
    peers: read.flatMap(({ peer }) => (peer === null ? [] : [peer])),
    problems: read.flatMap(({ text, peer }) => (peer === null ? [`${JSON.stringify(text)}: expected host:port`] : [])),
  };
}

export async function answerAndCall(peers: readonly HostPort[], clock: Clock, log: Log): Promise<void> {
  const told = Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
  const server = pageServer(({ socket }) => plainPage(200, ipFromSocket(socket.remoteAddress) ?? "unknown"));
  await listenEverywhere(server);
  log("info", "probe_answering", { port });
  await Promise.all(peers.map((peer) => call(peer, clock, log)));
  log("info", "probe_done");
  await told;
  server.close();
  server.closeAllConnections();
}

/** No address is named: not every kernel has IPv6. */
async function listenEverywhere(server: Server): Promise<void> {
  server.listen(port);
  await once(server, "listening");
  server.on("error", () => {});
}

async function call(peer: HostPort, clock: Clock, log: Log): Promise<void> {
  const deadline = clock.monotonic() + patienceMs;
  for (;;) {
    const answer = await ask(peer);
    if ("source" in answer) return log("info", "probe_seen_as", { peer: peer.host, source: answer.source });
    if (clock.monotonic() >= deadline) return log("warn", "probe_unanswered", { peer: peer.host, why: answer.why });
    await new Promise<void>((resolve) => void clock.after(pauseMs, resolve));
  }
}

type Seen = { readonly source: string } | { readonly why: string };

async function ask(peer: HostPort): Promise<Seen> {
  const { promise, resolve } = Promise.withResolvers<Seen>();
  // A connection of its own each time: one that is kept would show how it was made.
  const asked = get({ host: peer.host, port: peer.port, timeout: answerMs, agent: false }, (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (part: string) => (text = `${text}${part}`.slice(0, 64)));
    response.on("error", (error) => resolve({ why: error.message }));
    response.on("end", () => resolve({ source: text.trim() }));
  });
  asked.on("timeout", () => asked.destroy(new Error(`no answer for ${answerMs} ms`)));
  asked.on("error", (error) => resolve({ why: error.message }));
  return promise;
}
