/**
 * An application that does not listen is refused, also where the kernel gives the dial the very port that it is for: TCP
 * lets a socket connect to itself, which would echo what the caller says and keep the application from its port.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { needsRoot } from "../topology/cluster.ts";

const port = 40_000;
const url = (path: string): string => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);

/** Dials often enough to be given each port of a range of four. */
const dials = `
  import { duplexPair } from "node:stream";
  import { createServer } from "node:net";
  import { dialApplication } from ${url("proxy/dial/clear.ts")};
  import { systemClock } from ${url("lib/clock/clock.ts")};
  const [caller] = duplexPair();
  const dial = async () => {
    const far = await dialApplication({ ip: "127.0.0.1", port: ${port} }, caller, systemClock);
    if (far.kind === "far") far.duplex.destroy();
    return far.kind === "far" ? "reached" : far.reason;
  };
  const alone = new Set();
  for (let count = 0; count < 50; count++) alone.add(await dial());
  const server = createServer().listen(${port}, "127.0.0.1");
  await new Promise((resolve, reject) => server.on("listening", resolve).on("error", reject));
  console.log(JSON.stringify([...alone, await dial()]));
  process.exit();
`;

test("who nobody listens for is refused", { skip: needsRoot, timeout: 60_000 }, () => {
  const range = `echo '${port} ${port + 3}' > /proc/sys/net/ipv4/ip_local_port_range`;
  const shell = `ip link set lo up && ${range} && exec "$0" --input-type=module -e "$1"`;
  const args = ["--net", "sh", "-c", shell, process.execPath, dials];
  const { stdout, stderr } = spawnSync("unshare", args, { encoding: "utf8" });
  assert.equal(stderr, "");
  assert.deepEqual(JSON.parse(stdout), ["application_refused", "reached"]);
});
