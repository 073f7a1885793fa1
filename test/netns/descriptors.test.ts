/**
 * A proxy that may open few files is asked for more connections than it can hold: half-open handshakes by the thousand, with
 * not a byte or with half of a ClientHello, over both address families, from a pod without a certificate. It stays, serves a bystander all the while, refuses what it cannot hold, and serves
 * again with all descriptors and memory back.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { filesReturnTo, openFiles, reaches } from "../topology/attempts.ts";
import type { Capture, Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";
import { clientHello, plainRecord } from "../topology/tls-by-hand.ts";

const canary = "canary-descriptors-c19f";
const port = 7000;
const nofile = 256;
const halfOpen = 1_000;
const hello = plainRecord(clientHello("server"));
const halfHello = hello.subarray(0, hello.length / 2).toString("base64");

let mesh: Mesh;
let bridge: Capture;
let inside: Child;
let attacker: Child;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "bystander", project: "shop" },
      { name: "attacker", project: "default", protected: false },
    ],
    without: ["server"],
  });
  await mesh.startProxy("server", { nofile });
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", port);
  inside = await mesh.pod("client").app("dialer");
  attacker = await mesh.pod("attacker").app("dialer");
});
after(() => mesh?.close());

describe(`1 000 half-open handshakes at a proxy with ${nofile} descriptors`, { skip: needsRoot }, () => {
  for (const tunnelPort of [15_008, 15_006])
    test(`on ${tunnelPort}: it stays, and serves when they are gone`, async () => {
      const proxy = mesh.proxy("server");
      const { ips } = mesh.pod("server");
      const reachesBoth = async (): Promise<void> => {
        for (const host of ips) await reaches(inside, { host, port }, canary);
      };
      await reachesBoth();
      const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
      const files = openFiles(proxy.pid);
      const names = Array.from({ length: halfOpen }, (_, index) => `${tunnelPort}-${index}`);
      const halfOpened = names.map((name, index) => {
        const saying = Math.floor(index / ips.length) % 2 === 0 ? {} : { sendBase64: halfHello };
        return { do: "open", name, host: ips[index % ips.length], port: tunnelPort, ...saying };
      });
      await Promise.all(halfOpened.map((each) => attacker.request(each)));
      assert.equal(proxy.end, null);
      await Promise.all(names.map((name) => attacker.request({ do: "reset", name, timeoutMs: 1 })));
      await filesReturnTo(proxy.pid, files);
      await steady.end();
      await reachesBoth();
      assert.equal(proxy.end, null);
    });

  test("and the canary was nowhere on the bridge", async () => {
    assert.equal((await bridge.stop()).count(canary), 0);
  });
});
