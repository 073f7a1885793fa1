/**
 * 500 callers that send without end and never read what comes back: each is held by its own window, at a bounded cost,
 * and neither the 501st nor the session that they share is any slower for it.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { anonymousMb, filesReturnTo, openFiles, reaches } from "../topology/attempts.ts";
import type { Capture, Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";

const canary = "canary-slow-readers-20f8";
const port = 7000;
const readers = 500;
/** A window of 256 KiB each at the receiving proxy, and what its socket takes before that; in both directions. */
const mostMbEach = 1;

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
    ],
  });
  // What the kernel would hold for each connection, megabytes, is not what is tried here.
  const small = 'for way in rmem wmem; do echo "4096 16384 65536" > /proc/sys/net/ipv4/tcp_$way; done';
  for (const name of ["client", "server"]) await mesh.pod(name).must("sh", ["-ec", small], { uid: 0 });
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", port);
  slow = await mesh.pod("client").app("dialer");
  other = await mesh.pod("client").app("dialer");
});
after(() => mesh?.close());

describe(`${readers} connections whose answers nobody reads`, { skip: needsRoot }, () => {
  test("do not stop the next one, cost bounded memory, and give all of it back", async () => {
    const target = { host: mesh.pod("server").ip, port };
    await reaches(other, target, canary);
    const proxies = [mesh.proxy("client"), mesh.proxy("server")];
    const files = proxies.map(({ pid }) => openFiles(pid));
    const names = Array.from({ length: readers }, (_, index) => `slow-${index}`);
    const opened = await Promise.all(
      names.map((name) => slow.request({ do: "open", name, ...target, pump: canary, deaf: true })),
    );
    assert.ok(opened.every(({ connected }) => connected === true));
    // Until every window is full: nothing more is written by the slow ones, whose memory then stays the same.
    for (let [last, same] = [-1, 0]; same < 10;) {
      await reaches(other, target, canary);
      const now = Math.round(proxies.reduce((sum, { pid }) => sum + anonymousMb(pid), 0) / 4);
      same = now === last ? same + 1 : 0;
      last = now;
    }
    const started = performance.now();
    await reaches(other, target, canary);
    assert.ok(performance.now() - started < 1_000, `the next one took ${performance.now() - started} ms`);
    for (const proxy of proxies) {
      const used = anonymousMb(proxy.pid);
      assert.ok(used < 100 + readers * mostMbEach, `${proxy.name}: ${used} MB`);
    }
    await Promise.all(names.map((name) => slow.request({ do: "reset", name })));
    for (const [index, { pid }] of proxies.entries()) await filesReturnTo(pid, files[index]!);
    await reaches(other, target, canary);
  });

  test("and the canary was nowhere on the bridge", async () => {
    assert.equal((await bridge.stop()).count(canary), 0);
  });
});
