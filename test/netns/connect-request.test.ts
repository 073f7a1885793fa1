/**
 * What a peer with a good certificate may ask for on 15008: an address and port of this very pod, written in exactly one
 * way. Everything else is refused with an exact status and reason, no application sees a connection, and nobody else
 * notices.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { endpoint, reaches, refusalLine, refuses } from "../topology/attempts.ts";
import type { Capture, Child, Json } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import { createForger, identityOf } from "../topology/forgery.ts";
import type { Field } from "../topology/http2-frames.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";
import type { Steady } from "../topology/steady.ts";

const options = { skip: needsRoot };
const canary = "canary-connect-81aa";
const port = 7000;
const local = 7001;

/** Fixed by the order in which pods are made. */
const client = { v4: "10.77.0.2", v6: "fd77::2" } as const;
const server = { v4: "10.77.0.3", v6: "fd77::3" } as const;

let mesh: Mesh;
let bridge: Capture;
let tunnel: Child;
let inside: Child;
let echoes: readonly Child[];
let credentials: Json;
let steady: Steady;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "bystander", project: "shop" },
    ],
  });
  const [caller, target] = [mesh.pod("client"), mesh.pod("server")];
  assert.deepEqual([caller.ips, target.ips], [Object.values(client), Object.values(server)]);
  bridge = await mesh.cluster.capture();
  const loopback = (address: string): Promise<Child> =>
    target.app("echo-server", ["--port", String(local), "--address", address], { event: "listening" });
  echoes = [
    (await target.serve("echo-server", port)).child,
    (await caller.serve("echo-server", port)).child,
    await loopback("127.0.0.1"),
    await loopback("::1"),
  ];
  inside = await caller.app("dialer");
  tunnel = await caller.app("tunnel-client", [], { uid: uids.proxy });
  const leaf = createForger(mesh.cluster, mesh.ca).leaf(identityOf(caller));
  credentials = { cert: leaf.chainPem, key: leaf.keyPem };
  // The sessions between the two proxies stay open: they are there before anything is counted.
  for (const host of Object.values(server)) await reaches(inside, { host, port }, canary);
  steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
});
after(() => mesh?.close());

/** With `authority` by a client library, with `fields` by hand. */
const ask = (request: Json): Promise<Json> =>
  tunnel.request({
    do: "connect",
    host: server.v4,
    port: 15_008,
    ...credentials,
    send: canary,
    expect: canary.length,
    ...request,
  });

/** No application has seen a connection since then. */
function nobodyWasDialled(since: readonly number[]): void {
  const seen = echoes.flatMap((echo, index) => echo.events("connection", since[index]));
  assert.deepEqual(seen, []);
}

test("a request in the right form is served over both families, so all that follows can fail", options, async () => {
  for (const family of ["v4", "v6"] as const) {
    const answer = await ask({ host: server[family], authority: endpoint({ host: server[family], port }) });
    assert.deepEqual([answer["status"], answer["text"]], [200, canary]);
  }
  const byHand = await ask({ fields: [connect, authority] });
  assert.equal(byHand["status"], 200);
  // The echo has told of all of them: none of them can be taken for one of the refused requests below.
  await echoes[0]!.event("connection", (line) => line["connection"] === 5);
});

type Case = readonly [what: string, authority: string, status: number, reason: string];

const other = (host: string): string => endpoint({ host, port });
const refused: readonly Case[] = [
  ["another pod", other(client.v4), 403, "not_my_address"],
  ["another pod, IPv6", other(client.v6), 403, "not_my_address"],
  ["the gateway", "10.77.0.1:80", 403, "not_my_address"],
  ["an address outside", "192.0.2.1:443", 403, "not_my_address"],
  ["loopback", `127.0.0.1:${local}`, 403, "not_my_address"],
  ["loopback, not its first address", `127.8.0.1:${local}`, 403, "not_my_address"],
  ["loopback, IPv6", `[::1]:${local}`, 403, "not_my_address"],
  ["the unspecified address", `0.0.0.0:${port}`, 403, "not_my_address"],
  ["the unspecified address, IPv6", `[::]:${port}`, 403, "not_my_address"],
  ["link-local", `169.254.169.254:80`, 403, "not_my_address"],
  ["link-local, IPv6", `[fe80::1]:${port}`, 403, "not_my_address"],
  ["a port of the proxy", `${server.v4}:15001`, 403, "proxy_port"],
  ["a port of the proxy, IPv6", `[${server.v6}]:15008`, 403, "proxy_port"],
  ["the own address, mapped into IPv6", `[::ffff:${server.v4}]:${port}`, 400, "bad_request"],
  ["the own address, mapped, in hexadecimal", `[::ffff:a4d:3]:${port}`, 400, "bad_request"],
  ["a name", `server:${port}`, 400, "bad_request"],
  ["the name localhost", `localhost:${local}`, 400, "bad_request"],
  ["an address as one number", `172818435:${port}`, 400, "bad_request"],
  ["an octet with a leading zero", `10.077.0.3:${port}`, 400, "bad_request"],
  ["a port with a leading zero", `${server.v4}:07000`, 400, "bad_request"],
  ["a port with a sign", `${server.v4}:+7000`, 400, "bad_request"],
  ["no port", server.v4, 400, "bad_request"],
  ["an empty port", `${server.v4}:`, 400, "bad_request"],
  ["port 0", `${server.v4}:0`, 400, "bad_request"],
  ["a port beyond 65535", `${server.v4}:72536`, 400, "bad_request"],
  ["IPv6 without brackets", `${server.v6}:${port}`, 400, "bad_request"],
  ["IPv4 in brackets", `[${server.v4}]:${port}`, 400, "bad_request"],
  ["IPv6 in capitals", `[FD77::3]:${port}`, 400, "bad_request"],
  ["IPv6 not compressed", `[fd77:0:0:0:0:0:0:3]:${port}`, 400, "bad_request"],
  ["IPv6 with a zone", `[fe80::1%25eth0]:${port}`, 400, "bad_request"],
];

describe("an authority that is refused, with status and reason, by both and for nobody", options, () => {
  for (const [what, text, status, reason] of refused) {
    test(`${what}: ${text} -> ${status} ${reason}`, options, async () => {
      const [position, since] = [mesh.proxy("server").position, echoes.map((echo) => echo.position)];
      const answer = await ask({ authority: text });
      assert.deepEqual([answer["status"], answer["reason"], answer["bytes"]], [status, reason, 0]);
      await refusalLine(mesh.proxy("server"), position, text, reason);
      nobodyWasDialled(since);
    });
  }
});

const connect: Field = [":method", "CONNECT"];
const authority: Field = [":authority", endpoint({ host: server.v4, port })];
const page: readonly Field[] = [
  [":scheme", "https"],
  [":path", "/"],
];
const protocolError = 1;

/** `status` 400 is our own answer; `reset` 1 is that of the HTTP/2 library, which sees the request before us. */
const malformed: readonly (readonly [what: string, fields: readonly Field[], answer: Json])[] = [
  ["GET", [[":method", "GET"], ...page, authority], { status: 400, reset: null }],
  ["POST", [[":method", "POST"], ...page, authority], { status: 400, reset: null }],
  ["connect in small letters", [[":method", "connect"], ...page, authority], { status: 400, reset: null }],
  ["CONNECT with :scheme and :path", [connect, authority, ...page], { status: null, reset: protocolError }],
  ["CONNECT with :scheme", [connect, authority, page[0]!], { status: null, reset: protocolError }],
  ["CONNECT with :path", [connect, authority, page[1]!], { status: null, reset: protocolError }],
  [
    "CONNECT with :protocol (RFC 8441)",
    [connect, [":protocol", "websocket"], ...page, authority],
    { status: null, reset: protocolError },
  ],
  ["two authorities", [connect, authority, authority], { status: null, reset: protocolError }],
  ["no authority", [connect], { status: null, reset: protocolError }],
  ["an empty authority", [connect, [":authority", ""]], { status: null, reset: protocolError }],
  ["host in place of it", [connect, ["host", authority[1]]], { status: null, reset: protocolError }],
  ["userinfo", [connect, [":authority", `user@${authority[1]}`]], { status: null, reset: protocolError }],
  ["a path behind it", [connect, [":authority", `${authority[1]}/`]], { status: null, reset: protocolError }],
  ["a space behind it", [connect, [":authority", `${authority[1]} `]], { status: null, reset: protocolError }],
  ["a NUL behind it", [connect, [":authority", `${authority[1]}\0`]], { status: null, reset: protocolError }],
  ["a field before it", [connect, ["x-first", "1"], authority], { status: null, reset: protocolError }],
  ["an unknown pseudo-header", [connect, authority, [":x", "1"]], { status: null, reset: protocolError }],
  ["transfer-encoding", [connect, authority, ["transfer-encoding", "chunked"]], { status: null, reset: protocolError }],
];

describe("a request that is no CONNECT in the right form", options, () => {
  for (const [what, fields, { status, reset }] of malformed) {
    test(what, options, async () => {
      const [position, since] = [mesh.proxy("server").position, echoes.map((echo) => echo.position)];
      const answer = await ask({ fields });
      assert.deepEqual([answer["status"], answer["reset"], answer["bytes"]], [status, reset, 0]);
      if (status !== null) {
        const line = await mesh.proxy("server").event("connection_refused", () => true, { from: position });
        assert.deepEqual([line["reason"], line["detail"]], ["bad_request", "method"]);
      }
      nobodyWasDialled(since);
    });
  }

  test("meant for another pod uid", options, async () => {
    const good = await ask({ authority: authority[1], headers: { "tencrypt-pod": mesh.pod("server").facts.uid } });
    assert.equal(good["status"], 200);
    const answer = await ask({ authority: authority[1], headers: { "tencrypt-pod": mesh.pod("client").facts.uid } });
    assert.deepEqual([answer["status"], answer["reason"]], [403, "not_my_address"]);
  });

  test("neither did any of them end the sessions of others: the pods go on talking", options, async () => {
    await reaches(inside, { host: server.v4, port }, canary);
  });
});

describe("an application that listens on loopback only stays unreachable", options, () => {
  for (const family of ["v4", "v6"] as const) {
    test(`${family}: application_refused at both proxies, 503 for the peer`, options, async () => {
      const target = { host: server[family], port: local };
      const since = echoes.map((echo) => echo.position);
      const [there, here] = [mesh.proxy("server"), mesh.proxy("client")];
      const position = there.position;
      await refuses(inside, target, canary, { by: here, reason: "application_refused" });
      await refusalLine(there, position, endpoint(target), "application_refused");
      const answer = await ask({ host: server[family], authority: endpoint(target) });
      assert.deepEqual([answer["status"], answer["reason"], answer["bytes"]], [503, "application_refused", 0]);
      nobodyWasDialled(since);
    });
  }
});

test("a bystander was served all the while, and neither descriptors nor memory are left behind", options, async () => {
  await tunnel.stop("SIGKILL");
  await steady.end();
});

test("the canary was nowhere on the bridge", options, async () => {
  assert.equal((await bridge.stop()).count(canary), 0);
});
