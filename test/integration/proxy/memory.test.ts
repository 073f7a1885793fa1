/**
 * A process with the image's flags gives memory back to the machine and stays as fast as it was; one that may not collect does
 * without.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { proxyLaunch } from "../../../build/proxy-launch.ts";

const module = join(import.meta.dirname, "../../../proxy/memory/own-memory.ts");

/** Says how many bytes the process had more before it gave back what it had taken. */
const freedBytes = `
  const { ownMemory } = await import(process.argv[1]);
  const memory = ownMemory();
  if (memory === null) console.log(JSON.stringify(null));
  else {
    let taken = Array.from({ length: 200_000 }, (_, index) => ({ index }));
    const before = memory.resident();
    taken = null;
    await memory.giveBack();
    console.log(JSON.stringify(before - memory.resident()));
  }
`;

/**
 * Says which object of the heap is the shape of what `process.nextTick` makes, before and after. What V8 knows of that place refers
 * to it, and is not learned again for another.
 */
const shapesOfTicks = `
  import { json } from "node:stream/consumers";
  import { getHeapSnapshot } from "node:v8";
  const { ownMemory } = await import(process.argv[1]);
  const shapeOfTick = async () => {
    process.nextTick(function marked() {});
    const { snapshot, nodes, edges, strings } = await json(getHeapSnapshot());
    const { node_fields, edge_fields } = snapshot.meta;
    const [id, name, count] = ["id", "name", "edge_count"].map((field) => node_fields.indexOf(field));
    let edge = 0;
    for (let node = 0; node < nodes.length; node += node_fields.length) {
      const targets = new Map();
      for (let left = nodes[node + count]; left > 0; left--, edge += edge_fields.length)
        targets.set(strings[edges[edge + 1]], edges[edge + 2]);
      if (strings[nodes[targets.get("callback") + name]] === "marked") return nodes[targets.get("map") + id];
    }
  };
  const before = await shapeOfTick();
  await ownMemory().giveBack();
  console.log(JSON.stringify([before, await shapeOfTick()]));
`;

const runWith = (script: string, flags: readonly string[]): unknown =>
  JSON.parse(
    execFileSync(process.execPath, [...flags, "--input-type=module", "-e", script, module], {
      env: { ...proxyLaunch.env },
      encoding: "utf8",
    }),
  );

test("started as the image does", () => {
  const freed = runWith(freedBytes, proxyLaunch.flags) as number;
  assert.ok(freed > 4_000_000, String(freed));
});

test("afterwards a tick costs what it cost before", () => {
  const [before, after] = runWith(shapesOfTicks, proxyLaunch.flags) as readonly unknown[];
  assert.equal(typeof before, "number");
  assert.equal(after, before);
});

test("started without the flag", () => {
  assert.equal(runWith(freedBytes, []), null);
});
