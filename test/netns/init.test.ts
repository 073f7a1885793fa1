/** init on a real kernel: what an application, a caller from outside and a listener on the cable see of its rules. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import type { Child, Json } from "../topology/child.ts";
import { needsRoot } from "../topology/cluster.ts";
import { uids } from "../topology/enter.ts";
import { Pair, addresses } from "../topology/pair.ts";
import type { Settings } from "../topology/pair.ts";

const options = { skip: needsRoot };
const families = ["v4", "v6"] as const;
const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host);

let pair: Pair;
let app: Child;
let outside: Child;

async function init(settings: Settings = {}): Promise<void> {
  const { code, stdout, stderr } = await pair.init({ settings });
  assert.equal(code, 0, stdout + stderr);
}

before(async () => {
  if (needsRoot !== false) return;
  pair = await Pair.create();
  app = await pair.app("pod", "dialer");
  outside = await pair.app("outside", "dialer");
});
after(() => pair?.close());

const dial = (from: Child, host: string, port: number, more: Json = {}): Promise<Json> =>
  from.request({ do: "dial", host, port, ...more });

/** Connected, echoed, closed. */
async function echoes(from: Child, host: string, port: number): Promise<void> {
  const answer = await dial(from, host, port, { send: "hello", expect: 5 });
  assert.deepEqual([answer["connected"], answer["text"]], [true, "hello"], JSON.stringify(answer));
}

async function refuses(from: Child, host: string, port: number, error = "ECONNREFUSED"): Promise<void> {
  const answer = await dial(from, host, port, { send: "canary-clear" });
  assert.deepEqual([answer["connected"], answer["error"]], [false, error], JSON.stringify(answer));
}

describe("what is captured", options, () => {
  let outbound: readonly Child[];
  let inbound: Child;
  let container: Child;
  beforeEach(() => init());

  before(async () => {
    if (needsRoot !== false) return;
    const proxy = { uid: uids.proxy };
    outbound = await Promise.all([
      pair.app("pod", "capture-server", { ...proxy, port: 15_001, address: "127.0.0.1" }),
      pair.app("pod", "capture-server", { ...proxy, port: 15_001, address: "::1" }),
    ]);
    inbound = await pair.app("pod", "capture-server", { ...proxy, port: 15_006 });
    container = await pair.app("pod", "capture-server", { ...proxy, port: 15_101, address: "127.0.0.1" });
  });
  after(() => pair?.stop(...outbound, inbound, container));

  for (const [index, family] of families.entries()) {
    const pod = addresses.pod[family];
    const far = addresses.outside[family];

    test(`${family}: what the application sends arrives at the proxy and not on the cable`, options, async () => {
      const capture = await pair.capture();
      const from = outbound[index]!.position;
      const answer = await dial(app, far, 9000, { send: "canary-outbound", expect: 15 });
      assert.equal(answer["text"], "canary-outbound");
      const seen = await outbound[index]!.event("connection", () => true, { from });
      assert.deepEqual([seen["source"], seen["original"]], [pod, `${bracketed(far)}:9000`]);
      assert.equal((await capture.stop()).count("canary-outbound"), 0);
    });

    test(`${family}: what comes from outside arrives at the proxy, whatever the port`, options, async () => {
      for (const port of [80, 8080, 15_000, 15_001, 15_006, 15_101]) {
        const from = inbound.position;
        await echoes(outside, pod, port);
        const seen = await inbound.event("connection", () => true, { from });
        assert.deepEqual([seen["source"], seen["original"]], [far, `${bracketed(pod)}:${port}`]);
      }
    });

    test(
      `${family}: a dial of the proxy, of the pod's own address and of loopback is not captured`,
      options,
      async () => {
        const server = await pair.app("pod", "echo-server", { port: 8080 });
        const proxy = await pair.app("pod", "dialer", { uid: uids.proxy });
        const far9000 = await pair.app("outside", "echo-server", { port: 9000 });
        const loopback = family === "v4" ? "127.0.0.1" : "::1";
        for (const [from, host, port, at, source] of [
          [app, pod, 8080, server, pod],
          [app, loopback, 8080, server, loopback],
          [proxy, pod, 8080, server, pod],
          [proxy, far, 9000, far9000, pod],
        ] as const) {
          const position = at.position;
          await echoes(from, host, port);
          const seen = await at.event("connection", () => true, { from: position });
          assert.equal(seen["source"], source);
        }
        await pair.stop(server, proxy, far9000);
      },
    );
  }

  test("a container with a port of its own is captured there, the others as before", options, async () => {
    await init({ TENCRYPT_CAPTURE: "2001:15101" });
    const isolated = await pair.app("pod", "dialer", { uid: 2001 });
    const from = [container.position, outbound[0]!.position] as const;
    await echoes(isolated, addresses.outside.v4, 9001);
    await echoes(app, addresses.outside.v4, 9002);
    const seen = await container.event("connection", () => true, { from: from[0] });
    assert.equal(seen["original"], `${addresses.outside.v4}:9001`);
    const other = await outbound[0]!.event("connection", () => true, { from: from[1] });
    assert.equal(other["original"], `${addresses.outside.v4}:9002`);
    await pair.stop(isolated);
  });

  test("a second run proves against the port that the proxy holds", options, async () => {
    const { code, stdout } = await pair.init();
    assert.equal(code, 0, stdout);
    assert.equal(stdout.match(/"by":"port_in_use"/g)?.length, 2, stdout);
  });
});

describe("what is refused", options, () => {
  beforeEach(() => init());

  test("nat flushed alone: both directions and families are refused, and nothing is in clear", options, async () => {
    const servers = [
      await pair.app("pod", "echo-server", { port: 8080 }),
      await pair.app("outside", "echo-server", { port: 9000 }),
    ];
    const capture = await pair.capture();
    for (const stem of ["iptables-nft", "ip6tables-nft"]) await pair.must("pod", stem, "-t", "nat", "-F");
    for (const family of families) {
      await refuses(app, addresses.outside[family], 9000);
      await refuses(outside, addresses.pod[family], 8080);
    }
    const captured = await capture.stop();
    assert.equal(captured.count("canary-clear"), 0);
    assert.ok(
      captured.packets.some(({ tcp }) => tcp?.flow.endsWith(":8080")),
      "the capture sees the dial from outside",
    );
    await pair.stop(...servers);
  });

  test("without init's rules the same dials do get through, so the test above can fail", options, async () => {
    await pair.init({ args: ["--remove"] });
    const servers = [
      await pair.app("pod", "echo-server", { port: 8080 }),
      await pair.app("outside", "echo-server", { port: 9000 }),
    ];
    const capture = await pair.capture();
    for (const family of families) {
      const clear = { send: "canary-clear", expect: 12 };
      assert.equal((await dial(app, addresses.outside[family], 9000, clear))["text"], "canary-clear");
      assert.equal((await dial(outside, addresses.pod[family], 8080, clear))["text"], "canary-clear");
    }
    assert.equal((await capture.stop()).count("canary-clear"), 8);
    await pair.stop(...servers);
  });

  test(
    "a socket that is bound to an interface does not carry what was for the proxy out of the pod",
    options,
    async () => {
      await pair.must("pod", "ip", "route", "add", "::/0", "via", addresses.outside.v6);
      const capture = await pair.capture();
      // The only kind of bound socket that can be had from here; SO_BINDTODEVICE makes the same of any address.
      const answer = await dial(app, "fe80::77%eth0", 9000, { send: "canary-clear", timeoutMs: 300 });
      assert.equal(answer["connected"], false);
      const sent = (await capture.stop()).packets.flatMap(({ tcp }) => (tcp === null ? [] : [tcp.flow]));
      assert.deepEqual(sent, []);
      await pair.must("pod", "ip", "route", "del", "::/0");
    },
  );

  test("a proxy that is not there: the kernel refuses at once, inside and from outside", options, async () => {
    for (const family of families) {
      await refuses(app, addresses.outside[family], 9000);
      for (const port of [8080, 15_006, 15_008, 15_020, 15_021]) await refuses(outside, addresses.pod[family], port);
    }
  });

  test("a listener of another UID on a proxy port answers nobody, one of the proxy's UID does", options, async () => {
    const capture = await pair.capture();
    const foreign = [
      await pair.app("pod", "echo-server", { port: 15_008 }),
      await pair.app("pod", "echo-server", { port: 15_001, address: "127.0.0.1" }),
    ];
    const short = { timeoutMs: 300 };
    for (const family of families) {
      const answer = await dial(outside, addresses.pod[family], 15_008, short);
      assert.deepEqual([answer["connected"], answer["ended"]], [false, "timeout"]);
    }
    assert.equal((await dial(app, addresses.outside.v4, 9000, short))["connected"], false);
    assert.equal((await dial(app, "127.0.0.1", 15_001, short))["connected"], false);
    const answers = (await capture.stop()).packets.filter(
      ({ tcp }) => tcp?.segment.syn === true && tcp.flow.includes(":15008 "),
    );
    assert.deepEqual(
      answers.map(({ tcp }) => tcp?.flow),
      [],
    );
    await pair.stop(...foreign);
    const own = await pair.app("pod", "echo-server", { uid: uids.proxy, port: 15_008 });
    for (const family of families) await echoes(outside, addresses.pod[family], 15_008);
    await pair.stop(own);
  });
});

describe("UDP and ICMP", options, () => {
  let inPod: Child;
  let far: readonly Child[];

  before(async () => {
    if (needsRoot !== false) return;
    inPod = await pair.app("pod", "datagrams", { port: 5353 });
    far = [
      await pair.app("outside", "datagrams", { port: 53, uid: uids.root }),
      await pair.app("outside", "datagrams", { port: 5353 }),
    ];
  });
  after(() => pair?.stop(inPod, ...far));

  const ask = async (from: Child, host: string, port: number): Promise<unknown> =>
    (await from.request({ host, port, text: "canary-udp" }))["answer"];

  for (const family of families) {
    test(`${family}: dns-only lets queries out and refuses the rest both ways, errors pass`, options, async () => {
      await init({ TENCRYPT_UDP: "dns-only" });
      const away = addresses.outside[family];
      assert.equal(await ask(inPod, away, 53), "canary-udp");
      const capture = await pair.capture();
      assert.match(String(await ask(inPod, away, 5353)), /^(?:ECONNREFUSED|EPERM)$/);
      assert.equal((await capture.stop()).count("canary-udp"), 0);
      assert.equal(await ask(far[1]!, addresses.pod[family], 5353), "ECONNREFUSED");
      assert.equal(await ask(inPod, addresses.pod[family], 5353), "canary-udp");
      await pair.stop(far[0]!);
      assert.equal(await ask(inPod, away, 53), "ECONNREFUSED", "the far kernel's ICMP error");
      far = [await pair.app("outside", "datagrams", { port: 53, uid: uids.root }), far[1]!];
    });

    test(`${family}: allow leaves UDP alone`, options, async () => {
      await init({ TENCRYPT_UDP: "allow" });
      assert.equal(await ask(inPod, addresses.outside[family], 5353), "canary-udp");
      assert.equal(await ask(far[1]!, addresses.pod[family], 5353), "canary-udp");
    });
  }
});
