/**
 * Nobody gets anything by dialling a port of a proxy: no loop, no relay, no byte of an application. Whoever dials, by
 * whatever address, is refused at once; others are served meanwhile, and afterwards the proxies hold no more open files nor
 * memory than before.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  assertRefused,
  bracketed,
  dial,
  endpoint,
  filesReturnTo,
  nobodyListens,
  openFiles,
} from "../topology/attempts.ts";
import { reaches, refusalLine, refuses } from "../topology/attempts.ts";
import type { Target } from "../topology/attempts.ts";
import type { Capture, Child, Json, Pod } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import { createForger, identityOf } from "../topology/forgery.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";
import type { Steady } from "../topology/steady.ts";

const options = { skip: needsRoot };
const canary = "canary-proxy-ports-5d1f";
const echo = 7000;
const ports = { admin: 15_000, outbound: 15_001, inbound: 15_006, tunnel: 15_008, metrics: 15_020, health: 15_021 };
const all = Object.values(ports);
const loopback = { v4: "127.0.0.1", v6: "::1" } as const;
const families = ["v4", "v6"] as const;

let mesh: Mesh;
let client: Pod;
let server: Pod;
let bridge: Capture;
let inside: Child;
let attacker: Child;
let echoes: Child;
let steady: Steady;
let filesBefore: readonly (readonly [Child, number])[];

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "bystander", project: "shop" },
      { name: "attacker", project: "default", protected: false },
    ],
  });
  [client, server] = [mesh.pod("client"), mesh.pod("server")];
  bridge = await mesh.cluster.capture();
  inside = await client.app("dialer");
  attacker = await mesh.pod("attacker").app("dialer");
  echoes = (await server.serve("echo-server", echo)).child;
  // The session between the two proxies stays open: it is there before anything is counted.
  for (const family of families) await reaches(inside, { host: ipOf(server, family), port: echo }, canary);
  // The application's own word for it comes another way, and must not count for what follows.
  await echoes.event("connection", ({ connection }) => connection === families.length);
  steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
  filesBefore = [mesh.proxy("client"), mesh.proxy("server")].map((proxy) => [proxy, openFiles(proxy.pid)] as const);
});
after(() => mesh?.close());

const ipOf = (pod: Pod, family: "v4" | "v6"): string => (family === "v4" ? pod.ip : pod.ip6);

/** A port that speaks HTTP for itself: it says what it thinks of such a request, and nobody else sees the bytes. */
async function answersForItself(from: Child, target: Target): Promise<void> {
  const garbage = await dial(from, target, { send: `${canary}\r\n\r\n` });
  assert.match(String(garbage["text"]), /^HTTP\/1\.1 400 Bad Request\r\n/, endpoint(target));
  assert.ok(!String(garbage["text"]).includes(canary), "nothing is echoed");
  const position = echoes.position;
  const far = `${bracketed(server.ip6)}:${echo}`;
  const relay = await dial(from, target, { send: `CONNECT ${far} HTTP/1.1\r\nhost: ${far}\r\n\r\n${canary}` });
  assert.equal(relay["bytes"], 0, `${endpoint(target)}: ${JSON.stringify(relay)}`);
  assert.deepEqual(echoes.events("connection", position), [], "no relay");
}

/** Clear text where TLS is spoken: an alert at most, never a byte of an application. */
async function failsHandshake(from: Child, target: Target): Promise<void> {
  const proxy = mesh.proxy([...client.ips, ...Object.values(loopback)].includes(target.host) ? "client" : "server");
  const position = proxy.position;
  const answer = await dial(from, target, { send: canary });
  assert.ok(Number(answer["bytes"]) <= 7, `${endpoint(target)}: ${JSON.stringify(answer)}`);
  assert.match(String(answer["ended"]), /^(?:end|reset)$/);
  await refusalLine(proxy, position, endpoint(target), "handshake_failed");
}

describe("from inside the pod", options, () => {
  for (const family of families) {
    test(`${family}: by loopback and by the pod's own address`, options, async () => {
      const proxy = mesh.proxy("client");
      const [near, own] = [loopback[family], ipOf(client, family)];
      await refuses(inside, { host: near, port: ports.outbound }, canary, { by: proxy, reason: "proxy_port" });
      await nobodyListens(inside, { host: own, port: ports.outbound }, canary);
      await nobodyListens(inside, { host: own, port: ports.admin }, canary);
      for (const host of [near, own]) {
        await refuses(inside, { host, port: ports.inbound }, canary, { by: proxy, reason: "proxy_port" });
        await failsHandshake(inside, { host, port: ports.tunnel });
        for (const port of [ports.metrics, ports.health]) await answersForItself(inside, { host, port });
      }
    });

    test(`${family}: of another pod`, options, async () => {
      for (const port of all)
        await refuses(inside, { host: ipOf(server, family), port }, canary, {
          by: mesh.proxy("client"),
          reason: "proxy_port",
        });
    });
  }

  test("the admin port answers on 127.0.0.1 alone, and relays nothing", options, async () => {
    await answersForItself(inside, { host: loopback.v4, port: ports.admin });
    await nobodyListens(inside, { host: loopback.v6, port: ports.admin }, canary);
  });
});

describe("from the bridge", options, () => {
  for (const family of families) {
    test(`${family}: the captured ports, the tunnel and the services`, options, async () => {
      const host = ipOf(server, family);
      for (const port of [ports.admin, ports.outbound, ports.inbound])
        await refuses(attacker, { host, port }, "clear", { by: mesh.proxy("server"), reason: "proxy_port" });
      const position = mesh.proxy("server").position;
      const answer = await dial(attacker, { host, port: ports.tunnel }, { send: "clear" });
      assert.ok(Number(answer["bytes"]) <= 7, JSON.stringify(answer));
      await refusalLine(mesh.proxy("server"), position, endpoint({ host, port: ports.tunnel }), "handshake_failed");
      for (const [port, path, status] of [
        [ports.metrics, "/metrics", "403 Forbidden"],
        [ports.health, "/ready", "200 OK"],
        [ports.health, "/metrics", "404 Not Found"],
      ] as const) {
        const send = `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`;
        const [head = "", body = ""] = String((await dial(attacker, { host, port }, { send }))["text"]).split(
          "\r\n\r\n",
        );
        assert.equal(head.split("\r\n")[0], `HTTP/1.1 ${status}`, `${port}${path}`);
        assert.ok(body.length < 20, `nothing is told: ${body}`);
      }
    });
  }
});

describe("through the tunnel, by somebody who holds a good certificate", options, () => {
  for (const family of families) {
    test(`${family}: every port of the proxy is refused as the destination`, options, async () => {
      const leaf = createForger(mesh.cluster, mesh.ca).leaf(identityOf(client));
      const tunnel = await client.app("tunnel-client", [], { uid: uids.proxy });
      const ask = (port: number): Promise<Json> =>
        tunnel.request({
          do: "connect",
          host: ipOf(server, family),
          port: ports.tunnel,
          cert: leaf.chainPem,
          key: leaf.keyPem,
          authority: endpoint({ host: ipOf(server, family), port }),
          send: canary,
          expect: canary.length,
        });
      const good = await ask(echo);
      assert.deepEqual([good["status"], good["text"]], [200, canary], "the certificate and the way of asking are good");
      for (const port of all) {
        const answer = await ask(port);
        assert.deepEqual([answer["status"], answer["reason"], answer["bytes"]], [403, "proxy_port", 0], `${port}`);
      }
      await tunnel.stop("SIGKILL");
    });
  }
});

test(
  "afterwards no proxy holds more open files, a bystander was served all the while, and connections work",
  options,
  async () => {
    await steady.end();
    for (const [proxy, count] of filesBefore) await filesReturnTo(proxy.pid, count);
    await reaches(inside, { host: server.ip, port: echo }, canary);
    assertRefused(await dial(inside, { host: loopback.v4, port: ports.outbound }), "a dial that sends nothing");
    for (const [proxy, count] of filesBefore) await filesReturnTo(proxy.pid, count);
  },
);

test("the canary was nowhere on the bridge", options, async () => {
  assert.equal((await bridge.stop()).count(canary), 0);
});
