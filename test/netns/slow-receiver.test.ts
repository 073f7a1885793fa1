/** A gigabyte for an application that reads it more slowly than it is sent: it all arrives, and no proxy holds it. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { anonymousMb } from "../topology/attempts.ts";
import type { Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";

const port = 7000;
const bytes = 1_000_000_000;
/** MB a second: half of what the path carries. */
const pace = 80;
/** What two collections may differ by; what is sent in the last three quarters would be thirty times that. */
const slackMb = 25;

let mesh: Mesh;
let slow: Child;

// Without a capture of the bridge: a gigabyte of ciphertext would be all that it shows.
before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: ["client", "server"].map((name) => ({ name, project: "shop" })),
  });
  await mesh.pod("server").serve("bulk-server", port, ["--bytes", `${bytes}`]);
  slow = await mesh.pod("client").app("dialer");
});
after(() => mesh?.close());

/** The most that each held until so many bytes had arrived. */
async function mostUntil(expect: number, proxies: readonly Child[]): Promise<readonly number[]> {
  const most = proxies.map(() => 0);
  let over = false;
  const read = slow
    .request({ do: "read", name: "slow", expect, timeoutMs: 90_000 }, { timeoutMs: 95_000 })
    .finally(() => (over = true));
  while (!over) {
    for (const [index, { pid }] of proxies.entries())
      most[index] = Math.max(most[index]!, Math.round(anonymousMb(pid)));
    await pause(20);
  }
  assert.ok(Number((await read)["bytes"]) >= expect);
  return most;
}

describe("a slow receiver of 1 GB", { skip: needsRoot }, () => {
  test("gets every byte and the end, and the memory of both proxies stays flat", async () => {
    const proxies = [mesh.proxy("client"), mesh.proxy("server")];
    const target = { host: mesh.pod("server").ip, port };
    await slow.request({ do: "open", name: "slow", ...target, discard: true, pace });
    const first = await mostUntil(bytes / 4, proxies);
    const rest = await mostUntil(bytes, proxies);
    const told = `${first.join(" and ")} MB in the first quarter, ${rest.join(" and ")} MB later`;
    assert.ok(
      rest.every((each, index) => each < first[index]! + slackMb),
      told,
    );
    await slow.request({ do: "end", name: "slow" });
    const { ended, bytes: received } = await slow.event("ended", (line) => line["name"] === "slow");
    assert.deepEqual([ended, received], ["end", bytes]);
  });
});
