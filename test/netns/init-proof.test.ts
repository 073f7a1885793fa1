/** The proof of the outbound redirect: it fails when there is none, and holds in pods with unusual routes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import type { Json } from "../topology/child.ts";
import { needsRoot } from "../topology/cluster.ts";
import { repository, uids } from "../topology/enter.ts";
import { Pair, addresses } from "../topology/pair.ts";

const options = { skip: needsRoot };
let pair: Pair;

before(async () => {
  if (needsRoot === false) pair = await Pair.create();
});
after(() => pair?.close());
beforeEach(async () => {
  if (needsRoot === false) assert.equal((await pair.init({ args: ["--remove"] })).code, 0);
});

const parse = (stdout: string, event: string): readonly Json[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Json)
    .filter((line) => line["event"] === event);

async function proofs(): Promise<readonly unknown[]> {
  const { stdout } = await pair.run("pod", [process.execPath, join(repository, "test/topology/apps/prove.ts")]);
  return parse(stdout, "proof").map(({ kind }) => kind);
}

/** What init itself says. */
async function initProofs(): Promise<readonly unknown[]> {
  const { code, stdout, stderr } = await pair.init();
  assert.equal(code, 0, stdout + stderr);
  return parse(stdout, "redirect_proven").map(({ family, kind, destination }) => [family, kind, destination]);
}

test("without rules the proof fails for both families", options, async () => {
  assert.deepEqual(await proofs(), ["disproven", "disproven"]);
});

test("a redirect to another port than the one that is asked for is no proof", options, async () => {
  assert.equal((await pair.init({ settings: { TENCRYPT_OUTBOUND_PORT: "25001" } })).code, 0);
  assert.deepEqual(await proofs(), ["disproven", "disproven"]);
});

test("a dial that something else in the pod answers is no proof", options, async () => {
  assert.equal(
    (await pair.init({ settings: { TENCRYPT_OUTBOUND_PORT: "25001", TENCRYPT_PROXY_UID: "1000" } })).code,
    0,
  );
  const other = await pair.app("pod", "echo-server", { port: 25_001 });
  assert.deepEqual(await proofs(), ["disproven", "disproven"]);
  await pair.stop(other);
});

test("a pod with nothing but its subnet, and one with a host address and a default route", options, async (t) => {
  const { v4, v6 } = addresses.pod;
  assert.deepEqual(await initProofs(), [
    ["v4", "proven", "10.77.0.3"],
    ["v6", "proven", "fd77::3"],
  ]);
  const batch = (...lines: readonly string[]): Promise<unknown> =>
    pair.must("pod", "sh", "-c", lines.map((line) => `ip ${line}`).join(" && "));
  t.after(() =>
    batch("addr flush dev eth0 scope global", `addr add ${v4}/24 dev eth0`, `addr add ${v6}/64 dev eth0 nodad`),
  );

  await batch("addr flush dev eth0 scope global", `addr add ${v4}/32 dev eth0`, `addr add ${v6}/128 dev eth0 nodad`);
  assert.deepEqual(await initProofs(), [
    ["v4", "no_route", undefined],
    ["v6", "no_route", undefined],
  ]);

  await batch(
    "route add 169.254.1.1 dev eth0 scope link",
    "route add default via 169.254.1.1 dev eth0",
    "-6 route add default via fe80::1 dev eth0",
  );
  assert.deepEqual(await initProofs(), [
    ["v4", "proven", "10.77.0.3"],
    ["v6", "proven", "fd77::3"],
  ]);
});

for (const held of [false, true])
  test(
    `an IPv6 address that is still being checked for a duplicate is waited for${held ? ", the proxy being there already" : ""}`,
    options,
    async (t) => {
      const set = (value: number): Promise<unknown> =>
        pair.must(
          "pod",
          "sh",
          "-c",
          `for f in all eth0; do echo ${value} > /proc/sys/net/ipv6/conf/$f/accept_dad; done`,
        );
      t.after(() => set(0));
      const proxies = [];
      if (held)
        for (const address of ["127.0.0.1", "::1"])
          proxies.push(await pair.app("pod", "echo-server", { uid: uids.proxy, port: 15_001, address }));
      await set(1);
      await pair.must("pod", "ip", "addr", "del", `${addresses.pod.v6}/64`, "dev", "eth0");
      await pair.must("pod", "ip", "addr", "add", `${addresses.pod.v6}/64`, "dev", "eth0");
      assert.deepEqual(
        (await initProofs()).map((proof) => (proof as unknown[])[1]),
        ["proven", "proven"],
      );
      await pair.stop(...proxies);
    },
  );
