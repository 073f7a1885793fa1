/**
 * What happens on 15008 before a request: whoever does not speak TLS 1.3 with h2 and a certificate of this project that
 * is its own gets no further, sees no byte, and the proxy's log says why. Who says nothing is cut off. Nobody else notices.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { dial, endpoint, reaches, refusalLine } from "../topology/attempts.ts";
import type { Target } from "../topology/attempts.ts";
import type { Capture, Child, Json, Pod } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import { EarlyData, most } from "../topology/early-data.ts";
import { createForger, identityOf } from "../topology/forgery.ts";
import { openingWith } from "../topology/http2-frames.ts";
import { clientHello, plainRecord } from "../topology/tls-by-hand.ts";
import type { Forger } from "../topology/forgery.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";
import type { Steady } from "../topology/steady.ts";
import type { Leaf } from "../pki/pki.ts";

const options = { skip: needsRoot };
const canary = "canary-handshake-27c0";
const echo = 7000;
const tunnelPort = 15_008;
const hour = 3_600_000;
const families = ["v4", "v6"] as const;

let mesh: Mesh;
let client: Pod;
let server: Pod;
let bridge: Capture;
let forger: Forger;
let inside: Child;
let attacker: Child;
let echoes: Child;
let steady: Steady;
const tunnels = new Map<string, Child>();

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "web", project: "other" },
      { name: "bystander", project: "shop" },
      { name: "attacker", project: "default", protected: false },
    ],
  });
  [client, server] = [mesh.pod("client"), mesh.pod("server")];
  forger = createForger(mesh.cluster, mesh.ca);
  bridge = await mesh.cluster.capture();
  inside = await client.app("dialer");
  attacker = await mesh.pod("attacker").app("dialer");
  echoes = (await server.serve("echo-server", echo)).child;
  // As somebody who has taken over the pod: under the proxy's uid, which is not captured.
  for (const name of ["client", "web", "attacker"])
    tunnels.set(name, await mesh.pod(name).app("tunnel-client", [], { uid: uids.proxy }));
  await reaches(inside, { host: server.ip, port: echo }, canary);
  await echoes.event("connection");
  steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
});
after(() => mesh?.close());

const ipOf = (pod: Pod, family: "v4" | "v6"): string => (family === "v4" ? pod.ip : pod.ip6);
const show = (leaf: Leaf | null): Json => (leaf === null ? {} : { cert: leaf.chainPem, key: leaf.keyPem });

/** A CONNECT to the echo of the server, with a good certificate of the client unless told. */
async function connect(from: string, family: "v4" | "v6", change: Json = {}): Promise<Json> {
  const since = echoes.position;
  const answer = await tunnels.get(from)!.request({
    do: "connect",
    host: ipOf(server, family),
    port: tunnelPort,
    authority: endpoint({ host: ipOf(server, family), port: echo }),
    send: canary,
    expect: canary.length,
    ...change,
  });
  // The application's own word for it comes another way, and must not count for the attempt that follows.
  if (answer["status"] === 200) await echoes.event("connection", undefined, { from: since });
  return answer;
}

/** Not a byte of an application, and this reason in the log. */
async function refused(family: "v4" | "v6", reason: string, attempt: () => Promise<Json>): Promise<Json> {
  const proxy = mesh.proxy("server");
  const [position, since] = [proxy.position, echoes.position];
  const answer = await attempt();
  assert.deepEqual([answer["status"] ?? null, answer["reason"] ?? null], [null, null], JSON.stringify(answer));
  assert.ok(!String(answer["text"]).includes(canary), JSON.stringify(answer));
  await refusalLine(proxy, position, endpoint({ host: ipOf(server, family), port: tunnelPort }), reason);
  assert.deepEqual(echoes.events("connection", since), []);
  return answer;
}

/** In clear, so not the canary, which is nowhere on the bridge. */
const clearTexts: readonly (readonly [what: string, text: string])[] = [
  ["garbage", "\u0000\u0001\u0002 garbage \u00ff\u00fe"],
  ["a request of HTTP/1.1", "GET / HTTP/1.1\r\nhost: server\r\n\r\n"],
  ["CONNECT of HTTP/1.1", "CONNECT 10.77.0.3:7000 HTTP/1.1\r\n\r\n"],
  ["HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ["a TLS record of a wrong length", "\u0016\u0003\u0001\u00ff\u00ff"],
];

const wrongTls: readonly (readonly [what: string, change: Json, reason: string])[] = [
  ["TLS 1.2", { version: "TLSv1.2" }, "handshake_failed"],
  ["no ALPN", { alpn: [] }, "no_alpn"],
  ["ALPN http/1.1 only", { alpn: ["http/1.1"] }, "handshake_failed"],
];

/** What can be shown in place of a good certificate, by whom, and what has to be wrong with it. */
const forgeries: readonly (readonly [what: string, from: string, reason: string, leaf: () => Leaf | null])[] = [
  ["no certificate", "attacker", "no_certificate", () => null],
  ["the client's name, self-signed", "attacker", "untrusted_chain", () => forger.selfSigned(identityOf(client))],
  ["the client's own certificate, stolen", "attacker", "wrong_pod", () => forger.leaf(identityOf(client))],
  ["of another project", "web", "identity_mismatch", () => forger.leaf(identityOf(mesh.pod("web")))],
  [
    "the client's name, by another project's CA",
    "web",
    "wrong_issuer",
    () => forger.leaf({ ...identityOf(client), by: "other" }),
  ],
  [
    "expired",
    "client",
    "expired",
    () => forger.leaf({ ...identityOf(client), notBefore: Date.now() - 2 * hour, notAfter: Date.now() - hour }),
  ],
  [
    "not valid yet",
    "client",
    "not_yet_valid",
    () => forger.leaf({ ...identityOf(client), notBefore: Date.now() + hour, notAfter: Date.now() + 2 * hour }),
  ],
  [
    "valid for longer than any leaf may be",
    "client",
    "lifetime_too_long",
    () => forger.leaf({ ...identityOf(client), notAfter: Date.now() + 72 * hour }),
  ],
];

for (const family of families) {
  describe(`${family}: 15008 refuses`, options, () => {
    for (const [what, send] of clearTexts) {
      test(what, options, async () => {
        const target = { host: ipOf(server, family), port: tunnelPort };
        const answer = await refused(family, "handshake_failed", () =>
          dial(attacker, target, { sendBase64: Buffer.from(send, "latin1").toString("base64"), half: true }),
        );
        assert.match(String(answer["ended"]), /^(?:end|reset)$/);
      });
    }

    for (const [what, change, reason] of wrongTls) {
      test(`${what}, with a good certificate`, options, async () => {
        const leaf = forger.leaf(identityOf(client));
        await refused(family, reason, () => connect("client", family, { ...show(leaf), ...change }));
      });
    }

    for (const [what, from, reason, leaf] of forgeries) {
      test(`a certificate: ${what}`, options, async () => {
        // Whose name is good but whose pod is another's is refused for its streams; the rest has no session at all.
        if (reason === "wrong_pod") return stolen(family, leaf()!);
        const answer = await refused(family, reason, () => connect(from, family, show(leaf())));
        assert.equal((answer["goaway"] as Json | null)?.["text"], reason, "the code, and no more, is told to the peer");
      });
    }
  });
}

async function stolen(family: "v4" | "v6", leaf: Leaf): Promise<void> {
  const position = mesh.proxy("server").position;
  const answer = await connect("attacker", family, show(leaf));
  assert.deepEqual([answer["status"], answer["reason"], answer["bytes"]], [403, "wrong_pod", 0]);
  await refusalLine(mesh.proxy("server"), position, endpoint({ host: ipOf(server, family), port: echo }), "wrong_pod");
}

describe("a session is never resumed", options, () => {
  // OpenSSL gives tickets in TLS 1.3 whatever is set (SSL_OP_NO_TICKET makes them stateful); nobody keeps what they name.
  for (const session of ["own", "foreign"]) {
    test(
      `with a ticket that is its ${session} one: a good certificate is served by a whole handshake`,
      options,
      async () => {
        const answer = await connect("client", "v4", { ...show(forger.leaf(identityOf(client))), session });
        const { status, text, resumed } = answer;
        assert.deepEqual([status, text, resumed], [200, canary, false], JSON.stringify(answer));
      },
    );
  }

  test("nor does a ticket hide that the certificate has ended", options, async () => {
    const ended = { ...identityOf(client), notBefore: Date.now() - 2 * hour, notAfter: Date.now() - hour };
    await refused("v4", "expired", () => connect("client", "v4", { ...show(forger.leaf(ended)), session: "foreign" }));
  });
});

describe("early data is never taken", options, () => {
  let openssl: EarlyData;
  let proxy: Target;
  const request = (): Buffer => {
    const authority = endpoint({ host: server.ip, port: echo });
    const fields = [
      [":method", "CONNECT"],
      [":authority", authority],
    ] as const;
    return openingWith(fields, canary);
  };
  before(async () => {
    if (needsRoot !== false) return;
    openssl = new EarlyData(mesh.cluster, client, forger.leaf(identityOf(client)));
    proxy = { host: server.ip, port: tunnelPort };
    await openssl.startWilling();
  });

  test("a ticket of the proxy allows none, where another server's does", options, async () => {
    assert.equal(await openssl.ticket(openssl.willing, "willing"), most);
    assert.equal(await openssl.ticket(proxy, "own"), 0);
    assert.equal(await openssl.send(proxy, "own", request()), "not sent");
  });

  test(
    "a request in early data that another server takes is rejected, and reaches no application",
    options,
    async () => {
      await openssl.ticket(openssl.willing, "taken");
      assert.equal(await openssl.send(openssl.willing, "taken", request()), "accepted");
      const since = echoes.position;
      await openssl.ticket(openssl.willing, "foreign");
      assert.equal(await openssl.send(proxy, "foreign", request()), "rejected");
      // Whoever comes after it is the first that the application hears of.
      await connect("client", "v4", show(forger.leaf(identityOf(client))));
      assert.equal(echoes.events("connection", since).length, 1);
    },
  );
});

test("whatever name a caller asks for, the verdict is the same", options, async () => {
  const names = ["server", "SERVER.", "tencrypt-ca", "10.77.0.3".repeat(2), `${"a".repeat(60)}.`.repeat(4) + "local"];
  for (const servername of names) {
    const good = await connect("client", "v4", { ...show(forger.leaf(identityOf(client))), servername });
    assert.deepEqual([good["status"], good["text"]], [200, canary], servername);
    const none = await refused("v4", "no_certificate", () => connect("attacker", "v4", { servername }));
    assert.equal((none["goaway"] as Json | null)?.["text"], "no_certificate");
  }
});

test("a server name of 300 bytes is refused; one of 200 gets as far as anybody's", options, async () => {
  const target = { host: server.ip, port: tunnelPort };
  const ask = (length: number): Promise<Json> => {
    const hello = plainRecord(clientHello("n".repeat(length)));
    return dial(attacker, target, { sendBase64: hello.toString("base64"), expect: 7 });
  };
  const known = Buffer.from(String((await ask(200))["base64"]), "base64");
  assert.deepEqual([known[0], known[5]], [22, 2], "a ServerHello");
  await refused("v4", "handshake_failed", async () => {
    const answer = await ask(300);
    const alert = Buffer.from(String(answer["base64"]), "base64");
    assert.deepEqual([alert[0], alert[5]], [21, 2], `a fatal alert: ${JSON.stringify(answer)}`);
    return { ...answer, text: "" };
  });
});

describe("TLS 1.3 has no renegotiation: who tries has no session any more", options, () => {
  const fields = [
    [":method", "CONNECT"],
    [":authority", endpoint({ host: "10.77.0.3", port: echo })],
  ];
  test("one whose application only goes on is served", options, async () => {
    const since = echoes.position;
    const good = show(forger.leaf(identityOf(client)));
    const answer = await connect("client", "v4", { ...good, fields, afterwards: "more-data", timeoutMs: 1_000 });
    assert.deepEqual([answer["text"], answer["ended"]], [canary.repeat(2), "timeout"], JSON.stringify(answer));
    await echoes.event("connection_closed", undefined, { from: since });
  });

  for (const afterwards of ["client-hello", "hello-request", "plain-hello"])
    test(`after the handshake, and a request that was served: ${afterwards}`, options, async () => {
      const since = echoes.position;
      const good = show(forger.leaf(identityOf(client)));
      const answer = await connect("client", "v4", { ...good, fields, afterwards });
      assert.deepEqual([answer["status"], answer["ended"]], [200, "closed"], JSON.stringify(answer));
      const { ended } = await echoes.event("connection_closed", undefined, { from: since });
      assert.equal(ended, "reset", "its application hears that it was no clean end");
    });
});

test("garbage inside of good TLS ends the connection, and asks nothing of the application", options, async () => {
  const since = echoes.position;
  for (const raw of ["GET / HTTP/1.1\r\n\r\n", "\u0000\u0000\u0000\u0063\u0000\u0000\u0000\u0000\u0001"]) {
    const answer = await connect("client", "v4", { ...show(forger.leaf(identityOf(client))), raw });
    assert.deepEqual(
      [answer["secured"], answer["status"], answer["ended"]],
      [true, null, "closed"],
      JSON.stringify(answer),
    );
  }
  assert.deepEqual(echoes.events("connection", since), []);
});

test("who connects and says nothing, in clear or after the handshake, is cut off after 5 s", options, async () => {
  const target = { host: server.ip6, port: tunnelPort };
  const [silent, secured] = await Promise.all([
    dial(attacker, target),
    connect("client", "v4", { ...show(forger.leaf(identityOf(client))), raw: "" }),
  ]);
  assert.match(String(silent["ended"]), /^(?:end|reset)$/);
  assert.equal(silent["bytes"], 0);
  assert.ok(Number(silent["milliseconds"]) > 4_500, "not before");
  assert.deepEqual([secured["secured"], secured["ended"]], [true, "closed"], JSON.stringify(secured));
});

test("a bystander was served all the while, nothing is left behind, and the pods go on talking", options, async () => {
  await steady.end();
  for (const family of families) await reaches(inside, { host: ipOf(server, family), port: echo }, canary);
});

test("the canary was nowhere on the bridge", options, async () => {
  assert.equal((await bridge.stop()).count(canary), 0);
});
