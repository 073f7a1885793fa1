/**
 * A gigabyte for an application that reads it more slowly than it is sent, the caller or the called one: it all arrives, no
 * proxy holds it, others are served meanwhile, and none of it is in clear outside of a pod. A stream that turns out to be
 * such a transfer is left its session.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { anonymousMb, reaches } from "../topology/attempts.ts";
import type { Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";

const port = 7000;
const bytes = 1_000_000_000;
/** MB a second: half of what the path carries. */
const pace = 80;
/** What two collections may differ by; what is sent in the last three quarters would be thirty times that. */
const slackMb = 25;

const canary = "canary-slow-receiver-1f70";
const sinkPort = 7001;
const echoPort = 7002;
/** Below and above what makes a stream a bulk transfer, which is 8 MiB. */
const notYetBulk = 8_000_000;
const bulk = 9_000_000;
/** A tenth of what is carried: buffers, and code that the first megabytes make hot. */
const grownMb = bytes / 10 / 1e6;

let mesh: Mesh;
let slow: Child;
let sink: Child;

// Without a capture of the bridge, which would have to keep gigabytes of ciphertext: the kernel searches and counts.
before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: ["client", "server", "bystander"].map((name) => ({ name, project: "shop" })),
  });
  await mesh.pod("server").serve("bulk-server", port, ["--bytes", `${bytes}`, "--text", canary]);
  sink = (await mesh.pod("server").serve("sink-server", sinkPort, ["--pace", `${pace}`])).child;
  await mesh.pod("server").serve("echo-server", echoPort);
  slow = await mesh.pod("client").app("dialer");
  for (const pod of ["client", "server"]) for (const device of ["eth0", "lo"]) await searched(pod, device, "-I", "1");
});
after(() => mesh?.close());

const search = ["-m", "string", "--algo", "bm", "--string", canary];

/** The rule that counts packets with the canary that leave by that device: behind all nat, which changes the device. */
const searched = (pod: string, device: string, how: "-I", at: string): Promise<string> =>
  mesh.pod(pod).must("iptables", ["-w", "-t", "mangle", how, "POSTROUTING", at, "-o", device, ...search], { uid: 0 });

/** Packets with the canary in them: on the loopback device of a pod, where it is in clear, and those that left it. */
async function found(pod: string): Promise<{ readonly inside: number; readonly outside: number }> {
  const saved = await mesh.pod(pod).must("iptables-save", ["-c", "-t", "mangle"], { uid: 0 });
  const of = (device: string): number => {
    const rule = saved.split("\n").find((line) => line.includes(`-A POSTROUTING -o ${device} -m string `));
    return Number(/^\[([0-9]+):/.exec(rule ?? assert.fail(saved))![1]);
  };
  return { inside: of("lo"), outside: of("eth0") };
}

/** The most that each holds until `work` is done. */
async function mostWhile<T>(
  proxies: readonly Child[],
  work: Promise<T>,
): Promise<{ done: T; most: readonly number[] }> {
  const most = proxies.map(() => 0);
  let over = false;
  const ended = work.finally(() => (over = true));
  while (!over) {
    for (const [index, { pid }] of proxies.entries())
      most[index] = Math.max(most[index]!, Math.round(anonymousMb(pid)));
    await pause(20);
  }
  return { done: await ended, most };
}

function assertFlat(first: readonly number[], rest: readonly number[]): void {
  const told = `${first.join(" and ")} MB in the first quarter, ${rest.join(" and ")} MB later`;
  assert.ok(
    rest.every((each, index) => each < first[index]! + slackMb),
    told,
  );
}

const arrived = async (expect: number): Promise<void> => {
  const read = { do: "read", name: "slow", expect, timeoutMs: 90_000 };
  assert.ok(Number((await slow.request(read, { timeoutMs: 95_000 }))["bytes"]) >= expect);
};

describe("a slow receiver of 1 GB", { skip: needsRoot }, () => {
  test("that called gets every byte and the end, and the memory of both proxies stays flat", async () => {
    const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
    const proxies = [mesh.proxy("client"), mesh.proxy("server")];
    const target = { host: mesh.pod("server").ip, port };
    await slow.request({ do: "open", name: "slow", ...target, discard: true, pace });
    const { most: first } = await mostWhile(proxies, arrived(bytes / 4));
    const { most: rest } = await mostWhile(proxies, arrived(bytes));
    assertFlat(first, rest);
    await slow.request({ do: "end", name: "slow" });
    const { ended, bytes: received } = await slow.event("ended", (line) => line["name"] === "slow");
    assert.deepEqual([ended, received], ["end", bytes]);
    await steady.end({ moreFiles: 1, grownMb }); // the session
  });

  test("that was called gets every byte and the end, and the memory of both proxies stays flat", async () => {
    const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
    const proxies = [mesh.proxy("client"), mesh.proxy("server")];
    const target = { host: mesh.pod("server").ip, port: sinkPort };
    const wait = { timeoutMs: 95_000 };
    const taken = sink.event("taken", (line) => Number(line["bytes"]) >= bytes / 4, wait);
    const closed = sink.event("connection_closed", undefined, wait);
    await slow.request({ do: "open", name: "up", ...target, bulk: canary, bytes });
    const { most: first } = await mostWhile(proxies, taken);
    const { most: rest, done } = await mostWhile(proxies, closed);
    assertFlat(first, rest);
    assert.deepEqual([done["ended"], done["bytes"]], ["end", bytes]);
    await slow.event("ended", (line) => line["name"] === "up" && line["ended"] === "end");
    await steady.end({ moreFiles: 1, grownMb });
  });

  test("that has got 8 MiB is left its session: others of its pod get another one, and not before", async () => {
    const target = { host: mesh.pod("server").ip, port: echoPort };
    const sessionsBeside = async (): Promise<number> => {
      await reaches(slow, target, canary);
      return (await mesh.sessions("client")).length;
    };
    /** There and back. */
    const carry = async (more: number, inAll: number): Promise<void> => {
      await slow.request({ do: "write", name: "echoed", send: canary.padEnd(more, "bulk") });
      const { bytes: come } = await slow.request({ do: "read", name: "echoed", expect: inAll });
      assert.equal(come, inAll);
    };
    const alone = await sessionsBeside();
    await slow.request({ do: "open", name: "echoed", ...target, discard: true });
    await carry(notYetBulk, notYetBulk);
    assert.equal(await sessionsBeside(), alone);
    await carry(bulk - notYetBulk, bulk);
    assert.equal(await sessionsBeside(), alone + 1);
    assert.equal(await sessionsBeside(), alone + 1, "the new one serves the next as well");
    await slow.request({ do: "reset", name: "echoed" });
  });

  test("and no packet with the canary in it left a pod, though thousands were inside of both", async () => {
    for (const pod of ["client", "server"]) {
      const { inside, outside } = await found(pod);
      assert.equal(outside, 0, pod);
      assert.ok(inside > 1_000, `${pod}: ${inside}`);
    }
  });
});
