/**
 * A peer's proxy that is frozen (SIGSTOP: its kernel still answers) is found by PING, not by TCP: open connections end
 * as resets within the PING bound, new ones are refused in time, and after SIGCONT all is as before. Whoever talks to the
 * proxy that found it does not notice.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { filesReturnTo, openFiles, reaches, refusalLine, dial, endpoint } from "../topology/attempts.ts";
import type { Capture, Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";

const canary = "canary-frozen-6d02";
const port = 7000;
/** PING every 10 s, 5 s to answer, and what two busy cores add. */
const foundWithinMs = 17_000;

let mesh: Mesh;
let bridge: Capture;
let inside: Child;

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
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", port);
  inside = await mesh.pod("client").app("dialer");
});
after(() => {
  // A stopped process does not end by SIGTERM.
  if (needsRoot === false) mesh?.proxy("server").kill("SIGCONT");
  return mesh?.close();
});

describe("a frozen peer", { skip: needsRoot }, () => {
  test("is found by PING, refused, and used again when it goes on", async () => {
    const target = { host: mesh.pod("server").ip, port };
    await reaches(inside, target, canary);
    const [here, there] = [mesh.proxy("client"), mesh.proxy("server")];
    const steady = await watchSteady(mesh, { from: "bystander", to: "client", text: canary });
    const files = openFiles(here.pid);
    await inside.request({ do: "open", name: "open", ...target, send: canary });
    await inside.request({ do: "read", name: "open", expect: canary.length });
    there.kill("SIGSTOP");
    const started = performance.now();
    const ended = await inside.event("ended", (line) => line["name"] === "open", { timeoutMs: 2 * foundWithinMs });
    assert.equal(ended["ended"], "reset");
    assert.ok(performance.now() - started < foundWithinMs, `found after ${performance.now() - started} ms`);

    const position = here.position;
    const refused = await dial(inside, target, { send: canary });
    assert.deepEqual([refused["bytes"], refused["ended"]], [0, "reset"]);
    await refusalLine(here, position, endpoint(target), "peer_timeout");

    there.kill("SIGCONT");
    await reaches(inside, target, canary);
    await steady.end();
    await filesReturnTo(here.pid, files);
    assert.equal((await bridge.stop()).count(canary), 0);
  });
});
