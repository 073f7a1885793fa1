/** The order of changes: whatever fails, the pod is closed, and one more run or `--remove` leads to the same state. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { silent } from "../../../lib/log/log.ts";
import type { Log } from "../../../lib/log/log.ts";
import { install, remove } from "../../../init/apply.ts";
import type { Pod } from "../../../init/apply.ts";
import { readConfig } from "../../../init/config.ts";
import type { Family } from "../../../init/ruleset.ts";
import { parseIp } from "../../../lib/net/address.ts";
import { draw } from "../../property/seed.ts";
import { FakeIptables } from "./fake-iptables.ts";
import type { Call } from "./fake-iptables.ts";

const config = (env: Readonly<Record<string, string>> = {}): ReturnType<typeof readConfig>["config"] =>
  readConfig({ TENCRYPT_PROXY_UID: "1337", ...env }).config;
const destination = parseIp("192.0.2.1")!;

function pod(iptables: FakeIptables, more: Partial<Pod> = {}): Pod {
  const prove: Pod["prove"] = () => Promise.resolve({ kind: "proven", destination, by: "listener" });
  return { iptables, log: silent, isReachable: () => true, hasNeighbours: () => true, prove, ...more };
}

const closed = /-A INPUT [^\n]*-j TENCRYPT_GUARD_IN\n/;
const redirecting = /-A TENCRYPT_NAT_OUT -p tcp [^\n]*-j REDIRECT --to-ports 15001/;

test("the guard comes first and goes last, in both families", async () => {
  const iptables = new FakeIptables();
  let whenProving = "";
  const prove: Pod["prove"] = () => {
    whenProving += iptables.text("nft", "v4") + iptables.text("nft", "v6");
    return Promise.resolve({ kind: "proven", destination, by: "listener" });
  };
  assert.deepEqual(await install(config(), pod(iptables, { prove })), { kind: "done" });
  assert.equal(whenProving.match(new RegExp(closed, "g"))?.length, 4, "two families, asked twice");
  const changes = iptables.calls.filter(({ what }) => what === "keep");
  assert.deepEqual(
    changes.map(({ family, text }) => [family, text.includes("GUARD"), text.includes("REDIRECT")]),
    [
      ["v4", true, false],
      ["v6", true, false],
      ["v4", false, true],
      ["v6", false, true],
      ["v6", true, false],
      ["v4", true, false],
    ],
  );
  for (const family of ["v4", "v6"] as const) {
    assert.match(iptables.text("nft", family), redirecting);
    assert.doesNotMatch(iptables.text("nft", family), /GUARD/);
  }
});

test("whichever call fails, the pod is guarded or untouched, and the next run and --remove heal it", async () => {
  const clean = new FakeIptables();
  await install(config(), pod(clean));
  const wanted = clean.text("nft", "v4");
  const total = clean.calls.length;
  assert.ok(total > 10);
  const cases = Array.from({ length: total }, (_, failing) => [0, 1, 2].map((before) => ({ failing, before }))).flat();
  for (const { failing, before } of cases) {
    const iptables = new FakeIptables();
    iptables.tablesBefore = before;
    iptables.fails = ({ family }) => family === "v4" && iptables.calls.length - 1 === failing;
    const outcome = await install(config(), pod(iptables));
    const failed = iptables.calls[failing]?.family === "v4";
    assert.equal(outcome.kind, failed ? "failed" : "done", `call ${failing}`);
    // Nothing was changed before the guard was set, and its removal (one table) may have come about before it failed.
    const isLast = failing === total - 1;
    if (failed && failing > 1 && !(isLast && before > 0)) assert.match(iptables.text(), closed, `call ${failing}`);
    iptables.fails = () => false;
    assert.deepEqual(await install(config(), pod(iptables)), { kind: "done" });
    assert.equal(sorted(iptables.text()), sorted(wanted), `call ${failing}`);
    assert.deepEqual(remove(pod(iptables)), { kind: "done" });
    assert.equal(iptables.text(), "");
  }
});

/** The order of the chains in the output has no meaning; that of the rules in a chain has, and stays. */
function sorted(text: string): string {
  const chain = (line: string): string => (line.startsWith("-A ") ? line.split(" ", 2).join(" ") : line);
  const tables = text.split("COMMIT\n").map((table) =>
    table
      .split("\n")
      .toSorted((one, other) => chain(one).localeCompare(chain(other)))
      .join("\n"),
  );
  return tables.toSorted().join("COMMIT\n");
}

test("a proof that fails leaves the guard and names the family", async () => {
  const iptables = new FakeIptables();
  const prove: Pod["prove"] = (family) =>
    Promise.resolve(
      family === "v4"
        ? { kind: "no_route" }
        : { kind: "disproven", destination, why: "the dial was not redirected to the capture port: no answer" },
    );
  const outcome = await install(config(), pod(iptables, { prove }));
  assert.equal(outcome.kind, "failed");
  assert.equal(outcome.kind === "failed" && outcome.step, "prove the v6 redirect");
  assert.match(iptables.text("nft", "v4"), closed);
  assert.match(iptables.text("nft", "v6"), closed);
});

test("a family without an address that others can reach is not dialled, but has its rules", async () => {
  const iptables = new FakeIptables();
  const dialled: string[] = [];
  const prove: Pod["prove"] = (family) => {
    dialled.push(family);
    return Promise.resolve({ kind: "proven", destination, by: "listener" });
  };
  const outcome = await install(config(), pod(iptables, { prove, isReachable: (family) => family === "v4" }));
  assert.deepEqual([outcome.kind, dialled], ["done", ["v4"]]);
  assert.match(iptables.text("nft", "v6"), redirecting);
});

type Line = { readonly event: string; readonly by: unknown };

const v6Fails = (matching: (call: Call) => boolean) => (call: Call) => call.family === "v6" && matching(call);

test("IPv6 goes down the ladder: rules, refusing rules, routing policy, error", async () => {
  const noNat = new FakeIptables();
  noNat.fails = v6Fails(({ text }) => text.includes("*nat"));
  assert.equal((await install(config(), pod(noNat))).kind, "done");
  assert.match(noNat.text("nft", "v6"), /-A TENCRYPT_OUT -p tcp [^\n]*this family cannot be redirected/);

  const halfWay = new FakeIptables();
  halfWay.fails = noNat.fails;
  halfWay.tablesBefore = 2;
  assert.equal((await install(config(), pod(halfWay))).kind, "done");
  const jumps = (iptables: FakeIptables): unknown => iptables.text("nft", "v6").match(/^-A .*-j TENCRYPT_.*$/gm);
  assert.deepEqual(jumps(halfWay), jumps(noNat), "what was set of the rules before they failed is gone");

  const noTables = new FakeIptables();
  noTables.fails = v6Fails(({ what }) => !what.includes("policy"));
  assert.equal((await install(config(), pod(noTables))).kind, "done");
  assert.match(noTables.policy, /^1:.*to ff00::\/8 unreachable\n2:.*iif lo lookup local\n3:.*unreachable\n32766/);

  const nothing = new FakeIptables();
  nothing.fails = v6Fails(() => true);
  const outcome = await install(config(), pod(nothing));
  assert.equal(outcome.kind === "failed" && outcome.step, "make IPv6 unreachable");
  assert.match(nothing.text("nft", "v4"), closed);
  const linkLocal = { isReachable: (family: Family) => family === "v4" };
  const neighbours = await install(config(), pod(nothing, linkLocal));
  assert.equal(neighbours.kind === "failed" && neighbours.step, "make IPv6 unreachable");
  const alone = { ...linkLocal, hasNeighbours: linkLocal.isReachable };
  assert.equal((await install(config(), pod(nothing, alone))).kind, "done");
});

test("a guard of IPv6 that is all that could be set stays, and is an error where others are meant to reach the pod", async () => {
  const guardAlone = (): FakeIptables => {
    const iptables = new FakeIptables();
    iptables.fails = v6Fails(({ what, text }) => what.includes("policy") || /REDIRECT|REJECT/.test(text));
    return iptables;
  };
  const linkLocal = guardAlone();
  const lines: Line[] = [];
  const log: Log = (_level, event, fields = {}) => void lines.push({ event, by: fields["by"] });
  const isReachable = (family: Family): boolean => family === "v4";
  assert.equal((await install(config(), pod(linkLocal, { isReachable, log }))).kind, "done");
  assert.match(linkLocal.text("nft", "v6"), closed);
  assert.doesNotMatch(linkLocal.text("nft", "v4"), closed);
  assert.deepEqual(
    lines.filter(({ event }) => event.startsWith("ipv6_un") || event === "ipv6_open"),
    [{ event: "ipv6_unreachable", by: "guard" }],
  );
  linkLocal.fails = () => false;
  assert.equal((await install(config(), pod(linkLocal, { isReachable }))).kind, "done");
  assert.doesNotMatch(linkLocal.text("nft", "v6"), closed);

  const reachable = guardAlone();
  const outcome = await install(config(), pod(reachable));
  assert.equal(outcome.kind === "failed" && outcome.step, "make IPv6 unreachable");
  assert.match(reachable.text("nft", "v6"), closed);
});

test("a routing policy that an earlier run closed is opened once the rules hold", async () => {
  const iptables = new FakeIptables();
  const policy = iptables.policy;
  iptables.fails = v6Fails(({ what }) => !what.includes("policy"));
  await install(config(), pod(iptables));
  assert.notEqual(iptables.policy, policy);
  iptables.fails = () => false;
  assert.equal((await install(config(), pod(iptables))).kind, "done");
  assert.equal(iptables.policy, policy);
});

test("a routing policy that an earlier run left half-way is closed, or opened, to its end", async () => {
  const { policy } = new FakeIptables();
  const [everybody, ...rest] = policy.trim().split("\n");
  const ours = ["1:\tfrom all to ff00::/8 unreachable", "2:\tfrom all iif lo lookup local", "3:\tfrom all unreachable"];
  const text = (...lines: readonly (string | undefined)[]): string => `${[...lines, ...rest].join("\n")}\n`;
  const halfClosed = [1, 2, 3].map((count) => text(everybody, ...ours.slice(0, count)));
  const halfOpened = [1, 2].map((count) => text(everybody, ...ours.slice(count)));
  for (const left of [...halfClosed, ...halfOpened, text(...ours)]) {
    const iptables = new FakeIptables();
    iptables.policy = left;
    iptables.fails = v6Fails(({ what }) => !what.includes("policy"));
    assert.equal((await install(config(), pod(iptables))).kind, "done");
    assert.equal(iptables.policy, text(...ours), left);
    iptables.policy = left;
    iptables.fails = () => false;
    assert.equal((await install(config(), pod(iptables))).kind, "done");
    assert.equal(iptables.policy, policy, left);
    iptables.policy = left;
    assert.deepEqual(remove(pod(iptables)), { kind: "done" });
    assert.equal(iptables.policy, policy, left);
  }
});

test("auto takes the first backend that can set the guard; a named one is not replaced", async () => {
  const iptables = new FakeIptables(["nft", "legacy"]);
  iptables.fails = ({ backend }) => backend === "nft";
  assert.equal((await install(config(), pod(iptables))).kind, "done");
  assert.match(iptables.text("legacy", "v6"), redirecting);
  const named = await install(config({ TENCRYPT_IPTABLES_BACKEND: "nft" }), pod(iptables));
  assert.equal(named.kind === "failed" && named.step, "read the v4 rules");
  const absent = await install(config({ TENCRYPT_IPTABLES_BACKEND: "legacy" }), pod(new FakeIptables(["nft"])));
  assert.equal(absent.kind, "not_possible");
  assert.equal((await install(config(), pod(new FakeIptables([])))).kind, "not_possible");
});

test("where no backend can set the guard, the reason is that of the preferred one", async () => {
  const iptables = new FakeIptables(["nft", "legacy"]);
  iptables.fails = ({ backend, what }) => backend === "nft" || what === "keep";
  const outcome = await install(config(), pod(iptables));
  assert.equal(outcome.kind === "failed" && outcome.step, "read the v4 rules");
});

test("rules that cannot be read are not taken for none, neither by --remove nor in a backend that is not used any more", async () => {
  const iptables = new FakeIptables(["nft", "legacy"]);
  assert.equal((await install(config({ TENCRYPT_IPTABLES_BACKEND: "legacy" }), pod(iptables))).kind, "done");
  iptables.fails = ({ backend, what }) => backend === "legacy" && what === "save";
  for (const outcome of [remove(pod(iptables)), await install(config(), pod(iptables))])
    assert.equal(outcome.kind === "failed" && outcome.step, "read the v4 rules");
  assert.match(iptables.text("nft", "v4"), closed);
  assert.match(iptables.text("legacy", "v4"), redirecting);
  iptables.fails = ({ backend, family, what }) => backend === "nft" && family === "v6" && what === "save";
  assert.equal(remove(pod(iptables)).kind, "failed");
  // A kernel without nf_tables.
  iptables.fails = ({ backend }) => backend === "nft";
  assert.deepEqual(remove(pod(iptables)), { kind: "done" });
  assert.equal(iptables.text("legacy", "v4"), "");
});

const settings = fc.record({
  TENCRYPT_UDP: fc.constantFrom("allow", "dns-only"),
  TENCRYPT_CAPTURE: fc.constantFrom("", "2001:15101", "2001:15101,2002:15102"),
  TENCRYPT_TUNNEL_PORT: fc.constantFrom("15008", "25008"),
});

test("any sequence of settings ends in what the last alone would have made, and --remove in nothing of ours", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(settings, { minLength: 1, maxLength: 4 }), fc.boolean(), async (runs, others) => {
      const iptables = new FakeIptables();
      const foreign = "*filter\n:OTHERS - [0:0]\n-A INPUT -p udp -j OTHERS\n-A OTHERS -j ACCEPT\nCOMMIT\n";
      if (others) iptables.restore("nft", "v4", foreign, "keep");
      const before = iptables.text();
      for (const run of runs) assert.equal((await install(config(run), pod(iptables))).kind, "done");
      const alone = new FakeIptables();
      if (others) alone.restore("nft", "v4", foreign, "keep");
      await install(config(runs.at(-1)), pod(alone));
      assert.equal(sorted(iptables.text()), sorted(alone.text()));
      assert.deepEqual(remove(pod(iptables)), { kind: "done" });
      assert.equal(iptables.text(), before);
      assert.equal(iptables.text("nft", "v6"), "");
    }),
    draw(50),
  );
});
