/** What a pod forwards (of virtual machines and containers inside of it, say) gets past neither nat nor `dns-only`. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import type { Child, Outcome } from "../topology/child.ts";
import { needsRoot } from "../topology/cluster.ts";
import { Pair, addresses } from "../topology/pair.ts";
import type { InitOptions } from "../topology/pair.ts";

const options = { skip: needsRoot };
const families = ["v4", "v6"] as const;
const port = 5353;
const tunnelPort = 15_008;

let pair: Pair;
let dialer: Child;
let datagrams: Child;

before(async () => {
  if (needsRoot !== false) return;
  pair = await Pair.create({ forwards: true });
  dialer = await pair.app("behind", "dialer");
  datagrams = await pair.app("behind", "datagrams");
  for (const each of [port, tunnelPort]) await pair.app("outside", "echo-server", { port: each });
  await pair.app("outside", "datagrams", { port });
});
after(() => pair?.close());
beforeEach(() => init({ args: ["--remove"] }));

async function init(how: InitOptions): Promise<void> {
  const { code, stdout, stderr }: Outcome = await pair.init(how);
  assert.equal(code, 0, stdout + stderr);
}

type Family = (typeof families)[number];

const connects = async (family: Family, to = port): Promise<unknown> => {
  const host = addresses.outside[family];
  const { text, error } = await dialer.request({ do: "dial", host, port: to, send: "canary", expect: 6 });
  return error ?? text;
};
const asks = async (family: Family): Promise<unknown> =>
  (await datagrams.request({ host: addresses.outside[family], port, text: "canary" }))["answer"];

for (const family of families) {
  test(`${family}: TCP that nat does not bring to the proxy is refused`, options, async () => {
    for (const to of [port, tunnelPort])
      assert.equal(await connects(family, to), "canary", "without rules it passes, so this test can fail");
    await init({});
    assert.equal(
      await connects(family, tunnelPort),
      "ECONNREFUSED",
      "nat leaves the ports that the proxy serves itself",
    );
    for (const stem of ["iptables-nft", "ip6tables-nft"]) await pair.must("pod", stem, "-t", "nat", "-F");
    assert.equal(await connects(family), "ECONNREFUSED");
  });

  test(`${family}: of what is not TCP dns-only lets nothing pass, and allow all`, options, async () => {
    await init({ settings: { TENCRYPT_UDP: "dns-only" } });
    assert.equal(await asks(family), "ECONNREFUSED");
    await init({ settings: { TENCRYPT_UDP: "allow" } });
    assert.equal(await asks(family), "canary");
  });
}
