/**
 * A dial ends with the application that waits for it: one that resets holds no place until something times out. One that
 * only ends its half still waits, and gets its answer.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { refusalLine } from "../topology/attempts.ts";
import type { Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { swallowed } from "../topology/swallowed.ts";

const port = 7000;
/** No pod, and nobody answers there (RFC 5737). */
const outside = "203.0.113.9";

let mesh: Mesh;
let inside: Child;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "project" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
    ],
  });
  await mesh.pod("server").serve("echo-server", port);
  inside = await mesh.pod("client").app("dialer");
});
after(() => mesh?.close());

const toApplication = ["INPUT", "-i", "lo", "-p", "tcp", "--dport", `${port}`];
const toOutside = ["OUTPUT", "-p", "tcp", "-d", outside];

async function goesWhileDialled(host: string): Promise<void> {
  const { position } = mesh.proxy("client");
  const { connected } = await inside.request({ do: "open", name: host, host, port, send: "early" });
  assert.equal(connected, true);
  await inside.request({ do: "reset", name: host });
  await refusalLine(mesh.proxy("client"), position, `${host}:${port}`, "caller_gone");
}

describe("a caller that resets ends the dial", { skip: needsRoot }, () => {
  test("through the tunnel, of an application that does not answer", async () => {
    const server = mesh.pod("server");
    await swallowed(server, toApplication, () => goesWhileDialled(server.ip));
  });

  test("in clear, of an address where nobody answers", async () => {
    await swallowed(mesh.pod("client"), toOutside, () => goesWhileDialled(outside));
  });
});

describe("a caller that ends its half while it is dialled", { skip: needsRoot }, () => {
  for (const [what, send] of [
    ["after some bytes", "a question"],
    ["without a byte", ""],
  ] as const)
    test(`${what} gets the answer`, async () => {
      const server = mesh.pod("server");
      const position = inside.position;
      await swallowed(server, toApplication, async () => {
        const opened = await inside.request({ do: "open", name: what, host: server.ip, port, send, half: true });
        assert.equal(opened["connected"], true);
      });
      const ended = await inside.event("ended", ({ name }) => name === what, { from: position });
      assert.deepEqual([ended["ended"], ended["bytes"]], ["end", send.length]);
    });
});
