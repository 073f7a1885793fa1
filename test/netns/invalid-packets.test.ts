/**
 * Packets of connections that the kernel has forgotten: connection tracking calls them INVALID, and nat does not look at
 * them. They never leave a pod as they are, in clear and past the proxy; and where the rules are away they do, so this
 * test can fail. Nobody else notices, and the proxies hold nothing of them.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually } from "../cluster/eventually.ts";
import type { Capture, Child, Pod } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";
import type { Steady } from "../topology/steady.ts";

/** What each pod writes on a connection that is forgotten. */
const canaryOf = ({ name }: Pod): string => `canary-invalid-6b0d-${name}`;
const canary = "canary-invalid-bystander";
const hello = "hello";
const port = 7000;
const inboundPort = 15_006;
const asRoot = { uid: uids.root };

let mesh: Mesh;
let bridge: Capture;
let echo: Child;
let steady: Steady;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "project" }, other: { mode: "project" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "bare", project: "shop" },
      { name: "server", project: "shop" },
      { name: "bystander", project: "shop" },
      { name: "idle", project: "shop" },
      { name: "web", project: "other", protected: false },
    ],
  });
  for (const name of ["client", "bare", "server"]) await forgetSoon(mesh.pod(name));
  bridge = await mesh.cluster.capture();
  ({ child: echo } = await mesh.pod("server").serve("echo-server", port));
  // Between other pods than those whose dropped packets are counted.
  steady = await watchSteady(mesh, { from: "bystander", to: "idle", text: canary });
});
after(() => mesh?.close());

/** The kernel forgets connections of that pod that are silent for a second, and takes up none in the middle. */
async function forgetSoon(pod: Pod): Promise<void> {
  const settings = {
    tcp_loose: 0,
    tcp_timeout_established: 1,
    tcp_timeout_max_retrans: 1,
    tcp_timeout_unacknowledged: 1,
  };
  for (const [name, value] of Object.entries(settings))
    await pod.must("sysctl", ["-q", "-w", `net.netfilter.nf_conntrack_${name}=${value}`], asRoot);
}

const isForgotten = (pod: Pod): Promise<void> =>
  eventually(async () => {
    const known = await pod.must("cat", ["/proc/self/net/nf_conntrack"], asRoot);
    assert.ok(!known.includes(`dport=${port} `), known);
  });

/** How many packets the rule of that chain against such packets has dropped. */
async function dropped(pod: Pod, chain: "TENCRYPT_IN" | "TENCRYPT_OUT"): Promise<number> {
  const saved = await pod.must("iptables-save", ["-c", "-t", "filter"], asRoot);
  const rule = saved.split("\n").find((line) => line.includes(`-A ${chain} `) && line.includes("INVALID"));
  return Number(/^\[([0-9]+):/.exec(rule ?? assert.fail(saved))![1]);
}

/** An open connection that was used and is forgotten. */
async function forgotten(from: Pod, inPod: Pod): Promise<Child> {
  const dialer = await from.app("dialer");
  await dialer.request({ do: "open", name: "old", host: mesh.pod("server").ip, port, send: hello });
  assert.equal((await dialer.request({ do: "read", name: "old", expect: hello.length }))["bytes"], hello.length);
  await isForgotten(inPod);
  return dialer;
}

const write = (dialer: Child, from: Pod): Promise<unknown> =>
  dialer.request({ do: "write", name: "old", send: canaryOf(from) });

describe("a connection that connection tracking has forgotten", { skip: needsRoot }, () => {
  test("says nothing more: what its application sends does not leave the pod", async () => {
    const client = mesh.pod("client");
    const dialer = await forgotten(client, client);
    const sofar = await dropped(client, "TENCRYPT_OUT");
    await write(dialer, client);
    await eventually(async () => assert.ok((await dropped(client, "TENCRYPT_OUT")) > sofar));
    assert.equal((await bridge.snapshot()).count(canaryOf(client)), 0);
  });

  test("hears nothing more: neither its application nor the caller gets a packet that nat did not see", async () => {
    const [server, web] = [mesh.pod("server"), mesh.pod("web")];
    const dialer = await forgotten(web, server);
    const sofar = { in: await dropped(server, "TENCRYPT_IN"), out: await dropped(server, "TENCRYPT_OUT") };
    await write(dialer, web);
    await eventually(async () => assert.ok((await dropped(server, "TENCRYPT_IN")) > sofar.in));
    // Its proxy hears of the end from the other side, and resets a connection that the caller has with another port.
    await echo.stop();
    await eventually(async () => assert.ok((await dropped(server, "TENCRYPT_OUT")) > sofar.out));
    const from = (await bridge.snapshot()).flows().map(({ source }) => source);
    assert.deepEqual(
      from.filter((source) => source === `${server.ip}:${inboundPort}`),
      [],
    );
    assert.ok(from.includes(`${server.ip}:${port}`), "the caller's connection was on the bridge");
  });

  test("is nothing that a bystander notices, or that a proxy keeps", async () => {
    // Both connections are open at both of their ends, and the session of one of them: no packet can tell that they ended.
    await steady.end({ moreFiles: 4 });
    assert.equal((await bridge.snapshot()).count(canary), 0);
  });

  test("and would go out in clear, were the rules not there", async () => {
    const bare = mesh.pod("bare");
    await mesh.pod("server").serve("echo-server", port);
    const dialer = await forgotten(bare, bare);
    await bare.must("iptables", ["-D", "OUTPUT", "1"], asRoot);
    await write(dialer, bare);
    await eventually(async () => assert.ok((await bridge.snapshot()).count(canaryOf(bare)) > 0));
  });
});
