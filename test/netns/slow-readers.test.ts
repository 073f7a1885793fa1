/**
 * 500 callers that send without end and never read what comes back, 500 applications that read nothing of what they are
 * sent, and 500 callers that write a byte at a time: each is held by its own window, at a bounded cost, and neither the 501st
 * nor the session that they share nor another pod is any slower for it. A proxy that may hold less
 * than all of them would have it hold resets those that hold most, and says so; the others go on.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually } from "../cluster/eventually.ts";
import { anonymousMb, filesReturnTo, openFiles, reaches } from "../topology/attempts.ts";
import type { Capture, Child, Json } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";

const canary = "canary-slow-readers-20f8";
const ports = { echo: 7000, deaf: 7001 };
const many = 500;
/** The chart's limit for a proxy's memory is 256 MiB, in which it has code and sockets beside this. */
const heldMb = 230;

let mesh: Mesh;
let bridge: Capture;
let slow: Child;
let other: Child;

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
  // What the kernel would hold for each connection, megabytes, is not what is tried here.
  const small = 'for way in rmem wmem; do echo "4096 16384 65536" > /proc/sys/net/ipv4/tcp_$way; done';
  for (const name of ["client", "server"]) await mesh.pod(name).must("sh", ["-ec", small], { uid: 0 });
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", ports.echo);
  await mesh.pod("server").serve("sink-server", ports.deaf);
  slow = await mesh.pod("client").app("dialer");
  other = await mesh.pod("client").app("dialer");
});
after(() => mesh?.close());

const names = (what: string): readonly string[] => Array.from({ length: many }, (_, index) => `${what}-${index}`);
const proxies = (): readonly Child[] => [mesh.proxy("client"), mesh.proxy("server")];
const next = (): Promise<void> => reaches(other, { host: mesh.pod("server").ip, port: ports.echo }, canary);

async function openAll(what: string, port: number, how: Json): Promise<void> {
  const host = mesh.pod("server").ip;
  const opened = await Promise.all(
    names(what).map((name) => slow.request({ do: "open", name, host, port, ...how }, { timeoutMs: 60_000 })),
  );
  assert.ok(opened.every(({ connected }) => connected === true));
}

/** Nothing more is written by the slow ones, whose memory then stays the same. */
async function untilWindowsAreFull(): Promise<void> {
  for (let [last, same] = [-1, 0]; same < 10;) {
    await next();
    const now = Math.round(proxies().reduce((sum, { pid }) => sum + anonymousMb(pid), 0) / 4);
    same = now === last ? same + 1 : 0;
    last = now;
  }
}

async function nextIsPrompt(): Promise<void> {
  const started = performance.now();
  await next();
  assert.ok(performance.now() - started < 1_000, `the next one took ${performance.now() - started} ms`);
}

function assertBounded(): void {
  for (const proxy of proxies()) {
    const used = anonymousMb(proxy.pid);
    assert.ok(used < heldMb, `${proxy.name}: ${used} MB`);
    assert.equal(proxy.end, null);
  }
}

const stuck: readonly (readonly [what: string, port: number, how: Json])[] = [
  ["whose answers nobody reads", ports.echo, { pump: canary, deaf: true }],
  ["whose application reads nothing", ports.deaf, { pump: canary }],
];

describe(`${many} connections`, { skip: needsRoot }, () => {
  for (const [what, port, how] of stuck)
    test(`${what}: do not stop the next one, cost bounded memory, and give all of it back`, async () => {
      await next();
      const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
      const files = proxies().map(({ pid }) => openFiles(pid));
      await openAll(what, port, how);
      await untilWindowsAreFull();
      await nextIsPrompt();
      assertBounded();
      await Promise.all(names(what).map((name) => slow.request({ do: "reset", name })));
      // What their windows held may not be collected yet.
      await steady.end({ grownMb: heldMb });
      for (const [index, { pid }] of proxies().entries()) await filesReturnTo(pid, files[index]!);
      await next();
    });

  test("that write a byte at a time get every byte back, and do not stop the next one", async () => {
    const what = "byte by byte";
    const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
    await openAll(what, ports.echo, { drip: canary, everyMs: 200 });
    await nextIsPrompt();
    assertBounded();
    const expect = { do: "read", expect: canary.length, timeoutMs: 60_000 };
    const answers = await Promise.all(
      names(what).map((name) => slow.request({ ...expect, name }, { timeoutMs: 60_000 })),
    );
    assert.deepEqual(
      new Set(answers.map(({ text, ended }) => `${String(text)} ${String(ended)}`)),
      new Set([`${canary} null`]),
    );
    await Promise.all(names(what).map((name) => slow.request({ do: "reset", name })));
    await steady.end({ grownMb: heldMb });
  });

  test("at a proxy that may hold little: what holds most is reset, and the next one is served", async () => {
    const what = "overflowing";
    await mesh.proxy("server").stop();
    const server = await mesh.startProxy("server", { env: { TENCRYPT_MAX_BUFFERED: "4" } });
    await eventually(next);
    const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
    const position = server.position;
    await openAll(what, ports.deaf, { pump: canary });
    const told = await server.event("backlog_full", undefined, { from: position });
    assert.equal(told["limit"], 4 * 1024 * 1024);
    const isFull = ({ reason }: Json): boolean => reason === "backlog_full";
    const line = await server.event("connection_closed", isFull, { from: position });
    assert.match(String(line["detail"]), /^[0-9]+ octets waited, in all [0-9]+ of 4194304$/);
    await nextIsPrompt();
    await Promise.all(names(what).map((name) => slow.request({ do: "reset", name })));
    // It had just started: what 500 connections make it load and keep for a while is 60 MB.
    await steady.end({ grownMb: 120 });
    const ended = server.events("connection_closed", position).filter(isFull).length;
    assert.ok(ended < many, "not all of them");
  });

  test("and the canary was nowhere on the bridge", async () => {
    assert.equal((await bridge.stop()).count(canary), 0);
  });
});
