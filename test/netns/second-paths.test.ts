/**
 * Paths beside the tunnel, by which what an application says could leave its pod: probes, names, and the proxy's own UID. What
 * is in a probe stays inside, a name goes to nobody but whom it is asked of, and clear text that evades the own proxy is
 * refused by the other one. (Cilium GHSA-v6q2-4qr3-5cw6; limits of capture of Istio.)
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { endpoint, reaches, refuses } from "../topology/attempts.ts";
import type { Capture, Child, Pod } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";

const options = { skip: needsRoot };
const canary = "canary-second-paths-5ae8";
const named = "canary-name-5ae8";
const ports = { http: 8080, echo: 7000, dns: 53 };
const declared = {
  "/probe/app/liveness": {
    httpGet: {
      port: ports.http,
      path: `/${canary}`,
      httpHeaders: [
        { name: "X-Secret", value: canary },
        { name: "Host", value: `${canary}.shop.test` },
      ],
    },
  },
};
/** A query in the form of RFC 1035: the label is one piece of it. */
const query = `\x12\x34\x01\0\0\x01\0\0\0\0\0\0${String.fromCodePoint(named.length)}${named}\x04test\0\0\x01\0\x01`;

let mesh: Mesh;
let client: Pod;
let server: Pod;
let bridge: Capture;
let inside: Child;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "bystander", project: "shop" },
      { name: "dns", project: "kube-system", protected: false },
      // As a node does, it has an address in the range of the pods that no pod holds.
      { name: "node", project: "kube-system", protected: false, listed: false },
    ],
    without: ["server"],
  });
  [client, server] = [mesh.pod("client"), mesh.pod("server")];
  await mesh.startProxy("server", { env: { TENCRYPT_PROBES: JSON.stringify(declared) } });
  bridge = await mesh.cluster.capture();
  inside = await client.app("dialer");
});
after(() => mesh?.close());

test("a probe's path, header and host are the application's to hear, and nobody else's", options, async () => {
  const { child: http } = await server.serve("http-server", ports.http);
  for (const host of server.ips) {
    const from = http.position;
    const url = `http://${endpoint({ host, port: 15_021 })}/probe/app/liveness`;
    const answer = ["-s", "-m", "10", "-i", url];
    const told = await mesh.pod("node").must("curl", answer);
    assert.match(told, /^HTTP\/1\.1 200 /);
    assert.ok(!told.includes(canary), "the answer is a status");
    const heard = await http.event("request", undefined, { from });
    const headers = heard["headers"] as Readonly<Record<string, string>>;
    assert.deepEqual(
      [heard["url"], headers["x-secret"], headers["host"]],
      [`/${canary}`, canary, `${canary}.shop.test`],
    );
  }
  assert.equal((await bridge.snapshot()).count(canary), 0);
});

test("what an application asks another one by HTTP goes through the tunnel, path and Host too", options, async () => {
  const requests = await client.app("http-client");
  const headers = { host: `${canary}.shop.test`, "x-secret": canary };
  const url = `http://${endpoint({ host: server.ip, port: ports.http })}/${canary}?${canary}`;
  const { succeeded } = await requests.request({ do: "get", url, headers });
  assert.equal(succeeded, 1);
  assert.equal((await bridge.snapshot()).count(canary), 0);
});

describe("a name", options, () => {
  test("that is asked of a pod of the project over TCP goes through the tunnel", options, async () => {
    await server.app("echo-server", ["--port", `${ports.dns}`], { uid: uids.root, event: "listening" });
    for (const host of server.ips) await reaches(inside, { host, port: ports.dns }, query);
    assert.equal((await bridge.snapshot()).count(named), 0);
  });

  test(
    "that is asked over UDP is in clear towards the one that is asked, and towards no other pod",
    options,
    async () => {
      const dns = mesh.pod("dns");
      await dns.app("datagrams", ["--port", `${ports.dns}`], { uid: uids.root, event: "listening" });
      const asking = await client.app("datagrams");
      assert.equal((await asking.request({ host: dns.ip, port: ports.dns, text: query }))["answer"], query);
      const { packets, count } = await bridge.snapshot();
      const pairs = packets
        .filter(({ frame }) => frame.includes(named))
        .map(({ frame }) => [...ipv4Ends(frame)].toSorted().join());
      assert.deepEqual(pairs, [
        [client.ip, dns.ip].toSorted().join(), // the question
        [client.ip, dns.ip].toSorted().join(), // the answer
      ]);
      assert.equal(count(named), 2);
    },
  );
});

/** Source and destination of an IPv4 packet in an Ethernet frame. */
const ipv4Ends = (frame: Buffer): readonly [string, string] => [
  [...frame.subarray(26, 30)].join("."),
  [...frame.subarray(30, 34)].join("."),
];

test(
  "clear text of a process with the proxy's UID is refused by the other proxy: plaintext_refused",
  options,
  async () => {
    const { child: echo } = await server.serve("echo-server", ports.echo);
    const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
    const evading = await client.app("dialer", [], { uid: uids.proxy });
    for (const host of server.ips) {
      const target = { host, port: ports.echo };
      const { position } = mesh.proxy("client");
      await refuses(evading, target, "clear", { by: mesh.proxy("server"), reason: "plaintext_refused" });
      const known = [...mesh.proxy("client").events("connection_open", position)];
      assert.deepEqual(known, [], "its own proxy saw nothing of it, so the other one alone refused");
    }
    assert.deepEqual(echo.events("connection"), []);
    await steady.end();
    // The same by the same pod's application is served, so the pod itself was not refused.
    for (const host of server.ips) await reaches(inside, { host, port: ports.echo }, canary);
  },
);

test("the canary was nowhere on the bridge", options, async () => {
  assert.equal((await bridge.stop()).count(canary), 0);
});
