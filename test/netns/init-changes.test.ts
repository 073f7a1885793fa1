/** init run again, with other settings, taken away, and failing half-way: what is left in the kernel each time. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import type { TestContext } from "node:test";
import type { Child, Json, Outcome } from "../topology/child.ts";
import { needsRoot } from "../topology/cluster.ts";
import { repository } from "../topology/enter.ts";
import { Pair, addresses } from "../topology/pair.ts";

const options = { skip: needsRoot };
const families = ["v4", "v6"] as const;

let pair: Pair;
let app: Child;
let outside: Child;

before(async () => {
  if (needsRoot !== false) return;
  pair = await Pair.create();
  app = await pair.app("pod", "dialer");
  outside = await pair.app("outside", "dialer");
});
after(() => pair?.close());
beforeEach(async () => {
  if (needsRoot === false) succeeded(await pair.init({ args: ["--remove"] }));
});

function succeeded({ code, stdout, stderr }: Outcome): readonly Json[] {
  assert.equal(code, 0, stdout + stderr);
  return lines(stdout);
}

const lines = (stdout: string): readonly Json[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Json);
const dial = (from: Child, host: string, port: number, more: Json = {}): Promise<Json> =>
  from.request({ do: "dial", host, port, ...more });

/** A folder of programs that fail where `fails` (a shell condition over the input, `$input`) says so. */
function standIns(t: TestContext, programs: readonly string[], fails: string): string {
  const folder = join(pair.folder, `programs-${t.name.replaceAll(/\W+/g, "-")}`);
  mkdirSync(folder, { recursive: true });
  for (const program of programs) {
    const script = `#!/bin/sh
input=$(cat)
if ${fails}; then echo "$0 fails on purpose" >&2; exit 4; fi
printf '%s\\n' "$input" | exec /usr/sbin/${program} "$@"
`;
    writeFileSync(join(folder, program), script);
    chmodSync(join(folder, program), 0o755);
  }
  return folder;
}
const v6Programs = ["nft", "legacy"].flatMap((name) => [`ip6tables-${name}-save`, `ip6tables-${name}-restore`]);

test("the first run proves both families, and a second run changes nothing", options, async () => {
  const first = succeeded(await pair.init());
  const proofs = first.filter(({ event }) => event === "redirect_proven");
  assert.deepEqual(
    proofs.map(({ family, kind, by }) => [family, kind, by]),
    [
      ["v4", "proven", "listener"],
      ["v6", "proven", "listener"],
    ],
  );
  assert.equal(first.at(-1)?.["event"], "done");
  const rules = await pair.rules();
  assert.doesNotMatch(rules, /GUARD/);
  succeeded(await pair.init());
  assert.equal(await pair.rules(), rules);
});

test("changed settings leave no residue of the earlier ones", options, async () => {
  succeeded(await pair.init());
  const plain = await pair.rules();
  const settings = {
    TENCRYPT_UDP: "dns-only",
    TENCRYPT_CAPTURE: "2001:15101,2002:15102",
    TENCRYPT_INBOUND_PORT: "16006",
  };
  succeeded(await pair.init({ settings }));
  assert.match(await pair.rules(), /--uid-owner 2002 .*--to-ports 15102/);
  succeeded(await pair.init());
  assert.equal(await pair.rules(), plain);
});

test("rules of an earlier version, and jumps more than once, are replaced", options, async () => {
  succeeded(await pair.init());
  const plain = await pair.rules();
  for (const stem of ["iptables", "ip6tables"]) {
    const text = "*filter\n:TENCRYPT_OLD - [0:0]\n-I INPUT 1 -p tcp -j TENCRYPT_OLD\n-A INPUT -j TENCRYPT_IN\nCOMMIT\n";
    assert.equal((await pair.run("pod", [`${stem}-nft-restore`, "--noflush"], text)).code, 0);
  }
  succeeded(await pair.init());
  assert.equal(await pair.rules(), plain);
});

test("--remove gives back an empty ruleset where there was none", options, async () => {
  const atFirst = await pair.rules();
  assert.equal(atFirst, "# iptables\n# ip6tables\n");
  succeeded(await pair.init());
  succeeded(await pair.init({ settings: { TENCRYPT_UDP: "dns-only" } }));
  succeeded(await pair.init({ args: ["--remove"], settings: { TENCRYPT_PROXY_UID: "" } }));
  assert.equal(await pair.rules(), atFirst);
});

test("--remove of rules that cannot be read fails, and leaves them", options, async (t) => {
  succeeded(await pair.init());
  const rules = await pair.rules();
  const path = standIns(t, ["iptables-nft-save", "ip6tables-nft-save"], "true");
  const { code, stdout } = await pair.init({ args: ["--remove"], path });
  assert.equal(code, 70);
  assert.equal(lines(stdout).at(-1)?.["step"], "read the v4 rules");
  assert.equal(await pair.rules(), rules);
});

test("a table that iptables-save only names, since others wrote it, is not taken for empty", options, async (t) => {
  succeeded(await pair.init());
  const rules = await pair.rules();
  const path = standIns(t, ["iptables-nft-save"], "false");
  const script = [
    "#!/bin/sh",
    `/usr/sbin/iptables-nft-save "$@" | sed '/^[*]nat/,/^COMMIT/d'`,
    `echo "# Table \\\`nat' is incompatible, use 'nft' tool."`,
  ];
  writeFileSync(join(path, "iptables-nft-save"), script.join("\n"));
  const settings = { TENCRYPT_IPTABLES_BACKEND: "nft" };
  for (const args of [[], ["--remove"]]) {
    const { code, stdout } = await pair.init({ args, path, settings });
    const last = lines(stdout).at(-1);
    assert.deepEqual([code, last?.["step"]], [70, "read the v4 rules"]);
    assert.match(String(last?.["why"]), /Table `nat' is incompatible/);
  }
  assert.equal(await pair.rules(), rules);
});

test("--remove leaves rules of others, and tables that were there, as they were", options, async (t) => {
  const foreign = "*filter\n:OTHERS - [0:0]\n-A INPUT -p udp -m udp --dport 7 -j OTHERS\n-A OTHERS -j ACCEPT\nCOMMIT\n";
  await pair.run("pod", ["iptables-nft-restore", "--noflush"], `${foreign}*nat\nCOMMIT\n`);
  await pair.run("pod", ["ip6tables-nft-restore", "--noflush"], "*nat\n:OTHERS - [0:0]\nCOMMIT\n");
  t.after(async () => {
    await pair.run("pod", ["iptables-nft-restore"], "*filter\nCOMMIT\n*nat\nCOMMIT\n");
    await pair.run("pod", ["ip6tables-nft-restore"], "*nat\nCOMMIT\n");
  });
  const atFirst = await pair.rules();
  succeeded(await pair.init());
  assert.notEqual(await pair.rules(), atFirst);
  succeeded(await pair.init());
  succeeded(await pair.init({ args: ["--remove"] }));
  assert.equal(await pair.rules(), atFirst);
});

test("the legacy backend: run, re-run, a change of backend without residue, --remove", options, async (t) => {
  // Its network remembers legacy tables for ever, so nobody else gets it.
  const fresh = await Pair.create();
  t.after(() => fresh.close());
  const dialer = await fresh.app("pod", "dialer");
  const settings = { TENCRYPT_IPTABLES_BACKEND: "legacy" };
  succeeded(await fresh.init({ settings }));
  succeeded(await fresh.init({ settings }));
  // The legacy kernel part never forgets a table once it was used, so there is nothing to remember about them.
  const unmarked = async (): Promise<string> => (await fresh.rules("legacy")).replaceAll(":TENCRYPT_NEW_TABLE -\n", "");
  const legacy = await unmarked();
  assert.match(legacy, /TENCRYPT_NAT_OUT .*--to-ports 15001/);
  assert.equal(await fresh.rules("nft"), "# iptables\n# ip6tables\n");
  for (const family of families) {
    assert.equal((await dial(dialer, addresses.outside[family], 9000))["error"], "ECONNREFUSED");
  }
  succeeded(await fresh.init());
  assert.doesNotMatch(await fresh.rules("legacy"), /TENCRYPT/);
  succeeded(await fresh.init({ settings }));
  assert.equal(await unmarked(), legacy);
  assert.equal(await fresh.rules("nft"), "# iptables\n# ip6tables\n");
  succeeded(await fresh.init({ args: ["--remove"] }));
  assert.doesNotMatch(await fresh.rules("legacy"), /TENCRYPT/);
});

test(
  "a nat that cannot be set leaves the guard, which lets nothing out or in, and the next run heals it",
  options,
  async (t) => {
    const path = standIns(t, ["iptables-nft-restore"], `printf '%s' "$input" | grep -q REDIRECT`);
    const server = await pair.app("outside", "echo-server", { port: 9000 });
    const { code, stdout } = await pair.init({ path });
    assert.equal(code, 70);
    assert.equal(lines(stdout).at(-1)?.["event"], "init_failed");
    assert.equal(lines(stdout).at(-1)?.["step"], "set the v4 rules");
    const capture = await pair.capture();
    for (const family of families) {
      const answer = await dial(app, addresses.outside[family], 9000, { send: "canary-guard", timeoutMs: 200 });
      assert.deepEqual([answer["connected"], answer["ended"]], [false, "timeout"], family);
      const inward = await dial(outside, addresses.pod[family], 8080, { timeoutMs: 200 });
      assert.deepEqual([inward["connected"], inward["ended"]], [false, "timeout"], family);
    }
    const sent = (await capture.stop()).packets.filter(({ tcp }) => tcp?.flow.endsWith(":9000") === true);
    assert.equal(sent.length, 0);
    succeeded(await pair.init());
    assert.doesNotMatch(await pair.rules(), /GUARD/);
    await pair.stop(server);
  },
);

test("rules that the kernel does not hold as they were meant are an error", options, async (t) => {
  // Sets the rules, then loses one.
  const path = standIns(t, ["iptables-nft-restore"], "false");
  const script = `#!/bin/sh
input=$(cat)
printf '%s\\n' "$input" | grep -v 'ctstate INVALID' | exec /usr/sbin/iptables-nft-restore "$@"
`;
  writeFileSync(join(path, "iptables-nft-restore"), script);
  const { code, stdout } = await pair.init({ path });
  assert.equal(code, 70);
  assert.equal(lines(stdout).at(-1)?.["step"], "read the v4 rules back");
  assert.match(String(lines(stdout).at(-1)?.["why"]), /TENCRYPT_IN is not as it was meant/);
});

/** IPv6 goes nowhere and fails at once with `error`; its loopback and all of IPv4 work. */
async function v6IsUnreachable(error: string): Promise<void> {
  const server = await pair.app("pod", "echo-server", { port: 8080 });
  const far = await pair.app("outside", "echo-server", { port: 9000 });
  assert.equal((await dial(app, addresses.outside.v6, 9000))["error"], error);
  const inward = await dial(outside, addresses.pod.v6, 8080, { send: "x", expect: 1, timeoutMs: 300 });
  assert.equal(inward["connected"], false, JSON.stringify(inward));
  assert.equal((await dial(app, "::1", 8080, { send: "x", expect: 1 }))["text"], "x");
  assert.equal((await dial(app, addresses.outside.v4, 9000))["error"], "ECONNREFUSED");
  await pair.stop(server, far);
}

test("IPv6 without nat is refused by rules", options, async (t) => {
  const path = standIns(t, v6Programs, `printf '%s' "$input" | grep -q '^.nat'`);
  const log = succeeded(await pair.init({ path }));
  assert.equal(log.find(({ event }) => event === "ipv6_unreachable")?.["by"], "rules");
  await v6IsUnreachable("ECONNREFUSED");
  const inward = await dial(outside, addresses.pod.v6, 8080);
  assert.equal(inward["error"], "ECONNREFUSED");
  succeeded(await pair.init());
  assert.match(await pair.rules(), /ip6tables[^]*REDIRECT/);
});

test("IPv6 without ip6tables is cut off by the routing policy, and comes back", options, async (t) => {
  const atFirst = await pair.must("pod", "ip", "-6", "rule", "show");
  const path = standIns(t, v6Programs, "true");
  const log = succeeded(await pair.init({ path }));
  assert.equal(log.find(({ event }) => event === "ipv6_unreachable")?.["by"], "routing");
  await v6IsUnreachable("ENETUNREACH");
  const datagrams = await pair.app("pod", "datagrams");
  const capture = await pair.capture();
  const toAll = await datagrams.request({ host: "ff02::1%eth0", port: 5353, text: "canary-multicast" });
  assert.equal((await capture.stop()).count("canary-multicast"), 0);
  assert.equal(toAll["answer"], "ENETUNREACH");
  await pair.stop(datagrams);
  succeeded(await pair.init({ path }));
  await v6IsUnreachable("ENETUNREACH");
  succeeded(await pair.init({ args: ["--remove"] }));
  assert.equal(await pair.must("pod", "ip", "-6", "rule", "show"), atFirst);
  succeeded(await pair.init({ path }));
  succeeded(await pair.init());
  assert.equal(await pair.must("pod", "ip", "-6", "rule", "show"), atFirst);
});

test("IPv6 that an earlier run cut off half-way is cut off, and comes back", options, async (t) => {
  const atFirst = await pair.must("pod", "ip", "-6", "rule", "show");
  const halfWay = [
    "rule add pref 1 to ff00::/8 unreachable",
    "rule add pref 2 iif lo lookup local",
    "rule add pref 3 unreachable\n",
  ].join("\n");
  const leave = async (): Promise<void> =>
    assert.equal((await pair.run("pod", ["ip", "-6", "-batch", "-"], halfWay)).code, 0);
  await leave();
  succeeded(await pair.init({ path: standIns(t, v6Programs, "true") }));
  await v6IsUnreachable("ENETUNREACH");
  succeeded(await pair.init());
  assert.equal(await pair.must("pod", "ip", "-6", "rule", "show"), atFirst);
  await leave();
  for (const priority of ["1", "2"]) await pair.must("pod", "ip", "-6", "rule", "del", "pref", priority);
  succeeded(await pair.init());
  assert.equal(await pair.must("pod", "ip", "-6", "rule", "show"), atFirst);
});

test(
  "IPv6 that can neither be redirected nor cut off is an error where the pod has an address of it, link-local too",
  options,
  async (t) => {
    const path = standIns(t, [...v6Programs, "ip"], "true");
    const { code, stdout } = await pair.init({ path });
    assert.equal(code, 70);
    assert.equal(lines(stdout).at(-1)?.["step"], "make IPv6 unreachable");
    assert.match(await pair.rules(), /-A INPUT .*-j TENCRYPT_GUARD_IN/);

    const v4Only = await v4Pair(t);
    const neighbours = await v4Only.init({ path });
    assert.equal(neighbours.code, 70);
    assert.equal(lines(neighbours.stdout).at(-1)?.["step"], "make IPv6 unreachable");
    await v4Only.must("pod", "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6");
    const log = succeeded(await v4Only.init({ path }));
    assert.ok(log.some(({ event }) => event === "ipv6_open"));
  },
);

test(
  "where only the guard of IPv6 can be set, neighbours do not get past it to a link-local address",
  options,
  async (t) => {
    const v4Only = await v4Pair(t);
    await v4Only.app("pod", "echo-server", { port: 8080 });
    const neighbour = await v4Only.app("outside", "dialer");
    const knock = (timeoutMs: number): Promise<Json> =>
      dial(neighbour, `${linkLocal.pod}%eth0`, 8080, { send: "x", expect: 1, timeoutMs });
    assert.equal((await knock(5_000))["text"], "x");
    const refusing = `case $0 in */ip) true;; *) printf '%s' "$input" | grep -qE 'REDIRECT|REJECT';; esac`;
    const path = standIns(t, [...v6Programs, "ip"], refusing);
    const log = succeeded(await v4Only.init({ path }));
    assert.equal(log.find(({ event }) => event === "ipv6_unreachable")?.["by"], "guard");
    assert.equal((await knock(300))["connected"], false);
    const far = await v4Only.app("outside", "echo-server", { port: 9000 });
    const dialer = await v4Only.app("pod", "dialer");
    assert.equal((await dial(dialer, addresses.outside.v4, 9000))["error"], "ECONNREFUSED", "IPv4 has its rules");
    await v4Only.stop(far);
  },
);

test("nor do they where the routing policy closes IPv6", options, async (t) => {
  const v4Only = await v4Pair(t);
  await v4Only.app("pod", "echo-server", { port: 8080 });
  const neighbour = await v4Only.app("outside", "dialer");
  const log = succeeded(await v4Only.init({ path: standIns(t, v6Programs, "true") }));
  assert.equal(log.find(({ event }) => event === "ipv6_unreachable")?.["by"], "routing");
  const knock = await dial(neighbour, `${linkLocal.pod}%eth0`, 8080, { send: "x", expect: 1, timeoutMs: 300 });
  assert.equal(knock["connected"], false, JSON.stringify(knock));
});

const linkLocal = { pod: "fe80::77:2", outside: "fe80::77:3" } as const;

/** No address of IPv6 but loopback and link-local ones, of which these can be used at once. */
async function v4Pair(t: TestContext): Promise<Pair> {
  const v4Only = await Pair.create({ v6: false });
  t.after(() => v4Only.close());
  for (const where of ["pod", "outside"] as const)
    await v4Only.must(where, "ip", "addr", "add", `${linkLocal[where]}/64`, "dev", "eth0", "nodad");
  return v4Only;
}

test("--print changes nothing and prints what a run applies", options, async () => {
  const atFirst = await pair.rules();
  const { code, stdout } = await pair.init({ args: ["--print"] });
  assert.equal(code, 0);
  assert.match(stdout, /^# IPv4\n\*filter\n[^]*# IPv6\n\*filter\n/);
  assert.equal(await pair.rules(), atFirst);
});

test("without NET_ADMIN nothing is tried", options, async () => {
  const without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"];
  const { code, stdout } = await pair.run("pod", [...without, process.execPath, join(repository, "init/main.ts")]);
  assert.equal(code, 77);
  assert.deepEqual(
    lines(stdout).map(({ event, why }) => [event, why]),
    [["init_failed", "NET_ADMIN is missing"]],
  );
});

test("bad settings are all named at once", options, async () => {
  const bad = await pair.init({ settings: { TENCRYPT_PROXY_UID: "0", TENCRYPT_UDP: "some" } });
  assert.equal(bad.code, 64);
  assert.equal((lines(bad.stdout).at(-1)!["problems"] as unknown[]).length, 2);
  assert.equal((await pair.init({ args: ["--undo"] })).code, 64);
  assert.equal((await pair.init({ settings: { TENCRYPT_CAPTURE: "1337:15101" } })).code, 64);
});
