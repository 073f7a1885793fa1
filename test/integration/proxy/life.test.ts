/** The proxy as a process: it starts without ca and directory, and drains once. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";

const env = {
  TENCRYPT_TRUST_DOMAIN: "cluster.local",
  TENCRYPT_NAMESPACE: "shop",
  TENCRYPT_SERVICE_ACCOUNT: "cart",
  TENCRYPT_POD_NAME: "cart-1",
  TENCRYPT_POD_UID: "9f3e",
  TENCRYPT_POD_IPS: "10.0.0.2",
  TENCRYPT_CA_ADDRESS: "127.0.0.1:1",
  TENCRYPT_CA_ROOT_FILE: "/nowhere/root.pem",
  TENCRYPT_TOKEN_FILE: "/nowhere/token",
  TENCRYPT_DIRECTORY_FILE: "/nowhere/directory.json",
  TENCRYPT_OUTBOUND_PORT: "0",
  TENCRYPT_INBOUND_PORT: "0",
  TENCRYPT_TUNNEL_PORT: "0",
  TENCRYPT_ADMIN_PORT: "0",
  TENCRYPT_METRICS_PORT: "0",
  TENCRYPT_HEALTH_PORT: "0",
  TENCRYPT_DRAIN: "3s",
};

const main = new URL("../../../proxy/main.ts", import.meta.url).pathname;

test("it tells where it listens, and on SIGTERM what it waits for, and ends with 0", async (t) => {
  const child = spawn(process.execPath, [main], { env, stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const lines: Record<string, unknown>[] = [];
  createInterface({ input: child.stdout }).on("line", (text) => {
    const line = JSON.parse(text) as Record<string, unknown>;
    lines.push(line);
    if (line["event"] === "listening" && line["name"] === "admin") child.kill("SIGTERM");
  });
  const [code] = (await once(child, "close")) as [number | null];
  assert.equal(code, 0);
  const { signal, connections, deadlineMs } = lines.at(-2)!;
  assert.deepEqual({ signal, connections, deadlineMs }, { signal: "SIGTERM", connections: 0, deadlineMs: 3_000 });
  assert.equal(lines.at(-1)!["event"], "stopped");
});

const url = (path: string): string => JSON.stringify(new URL(`../../../${path}`, import.meta.url).href);

/** With a connection that never ends. Health and metrics outlive a drain, so this is a process of its own. */
const stopTwice = `
  import { Proxy } from ${url("proxy/proxy.ts")};
  import { readConfig } from ${url("proxy/config.ts")};
  import { Dataplane } from ${url("proxy/dataplane.ts")};
  import { manualClock } from ${url("test/clock/manual-clock.ts")};
  Dataplane.prototype.whenIdle = () => {};
  const clock = manualClock();
  const proxy = await Proxy.start(readConfig(process.env), { clock, log: () => {}, droppedLogLines: () => 0 });
  const stopped = [];
  const stops = ["first", "second"].map((which) => proxy.stop().then(() => stopped.push(which)));
  const told = [];
  for (const ms of [2_999, 1]) {
    clock.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
    if (ms === 1) await Promise.all(stops);
    told.push([...stopped]);
  }
  console.log(JSON.stringify(told));
  process.exit();
`;

test("who asks it twice to stop waits twice for the same drain", () => {
  const args = ["--input-type=module", "-e", stopTwice];
  const { stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: "utf8", timeout: 60_000 });
  assert.equal(stderr, "");
  assert.deepEqual(JSON.parse(stdout), [[], ["first", "second"]]);
});
