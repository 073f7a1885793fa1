/** A process with the image's flags gives memory back to the machine, and one that may not collect does without. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { proxyLaunch } from "../../../build/proxy-launch.ts";

const module = join(import.meta.dirname, "../../../proxy/memory/own-memory.ts");

/** Says how many bytes the process had more before it gave back what it had taken. */
const script = `
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

const runWith = (flags: readonly string[]): unknown =>
  JSON.parse(
    execFileSync(process.execPath, [...flags, "--input-type=module", "-e", script, module], {
      env: { ...proxyLaunch.env },
      encoding: "utf8",
    }),
  );

test("started as the image does", () => {
  const freed = runWith(proxyLaunch.flags) as number;
  assert.ok(freed > 4_000_000, String(freed));
});

test("started without the flag", () => {
  assert.equal(runWith([]), null);
});
