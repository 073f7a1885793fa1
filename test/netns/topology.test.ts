/** The test bench itself: what it promises to the other tests has to hold, or they prove nothing. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { createCluster, needsRoot } from "../topology/cluster.ts";
import type { Cluster, Pod } from "../topology/cluster.ts";
import { run } from "../topology/child.ts";

const options = { skip: needsRoot };

let cluster: Cluster;
let one: Pod;
let two: Pod;

before(async () => {
  if (needsRoot !== false) return;
  cluster = await createCluster({ mountCode: true });
  one = await cluster.pod({ name: "one", project: "shop" });
  two = await cluster.pod({ name: "two", project: "shop", protected: false });
});
after(() => cluster?.close());

test("an HTTP request crosses the bridge by both families and shows the pod's own address", options, async () => {
  const { port } = await two.serve("http-server", 0);
  const client = await one.app("http-client");
  for (const [host, source] of [
    [two.ip, one.ip],
    [`[${two.ip6}]`, one.ip6],
  ]) {
    const answer = await client.request({
      do: "get",
      url: `http://${host}:${port}/cart`,
      headers: { "x-test": "yes" },
    });
    assert.equal(answer["succeeded"], 1);
    const body = JSON.parse((answer["last"] as { body: string }).body) as Record<string, unknown>;
    assert.equal(body["source"], source);
    assert.equal(body["pod"], "two");
    assert.equal((body["headers"] as Record<string, string>)["x-test"], "yes");
  }
});

test(
  "a capture finds a text in one packet, split over segments, and does not find what was not sent",
  options,
  async () => {
    const { port } = await two.serve("echo-server", 0);
    const dialer = await one.app("dialer");
    const capture = await cluster.capture();
    await dialer.request({ do: "open", name: "split", host: two.ip, port });
    await dialer.request({ do: "write", name: "split", send: "canary-fir", expect: 10 });
    await dialer.request({ do: "write", name: "split", send: "st-half", expect: 17 });
    const whole = await dialer.request({ do: "dial", host: two.ip6, port, send: "canary-whole", half: true });
    assert.deepEqual([whole["text"], whole["ended"]], ["canary-whole", "end"]);
    const captured = await capture.stop();
    assert.equal(captured.count("canary-whole"), 2);
    assert.equal(captured.count("canary-first-half"), 2);
    assert.equal(captured.count("canary-never-sent"), 0);
    assert.ok(captured.bytes > 500);
    assert.deepEqual(
      captured.tls(port).map(({ recordsOnly }) => recordsOnly),
      [false, false, false, false],
    );
  },
);

test("the dialer tells a refused connection, a reset and an end apart", options, async () => {
  const dialer = await one.app("dialer");
  const refused = await dialer.request({ do: "dial", host: two.ip, port: 9 });
  assert.deepEqual([refused["connected"], refused["error"]], [false, "ECONNREFUSED"]);
  const { port } = await two.serve("greeting-server", 0);
  const greeted = await dialer.request({ do: "dial", host: two.ip, port, expect: 15 });
  assert.equal(greeted["text"], "220 two ready\r\n");
  const { child, port: echo } = await two.serve("echo-server", 0);
  await dialer.request({ do: "open", name: "reset", host: two.ip, port: echo, send: "x" });
  await dialer.request({ do: "read", name: "reset", expect: 1 });
  await dialer.request({ do: "reset", name: "reset" });
  const closed = await child.event("connection_closed");
  assert.deepEqual([closed["ended"], closed["bytes"]], ["reset", 1]);
});

const status = async (uid?: number): Promise<string> =>
  one.must("cat", ["/proc/self/status"], uid === undefined ? {} : { uid });

test("a process has the uid that was asked for and no capability; root keeps them", options, async () => {
  const application = await status();
  assert.match(application, /^Uid:\t1000\t1000\t1000\t1000$/m);
  assert.match(application, /^Groups:\s*$/m);
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
    assert.match(application, new RegExp(`^${set}:\t0+$`, "m"));
  assert.match(application, /^NoNewPrivs:\t1$/m);
  assert.match(await status(0), /^CapEff:\t[0-9a-f]*[1-9a-f]/m);
});

test("the directory names every listed pod, and a tunnel port only for the protected ones", options, () => {
  cluster.service({ project: "shop", name: "web", vips: ["10.96.0.10"], ports: { 80: 8080 }, endpoints: [one, two] });
  const first = cluster.directory();
  assert.deepEqual(
    first.workloads.map(({ pod, tunnelPort }) => [pod, tunnelPort]),
    [
      ["one", 15_008],
      ["two", undefined],
    ],
  );
  assert.deepEqual(
    first.services[0]!.endpoints.map(({ ip, ports }) => [ip, ports]),
    [
      [one.ip, { 80: 8080 }],
      [two.ip, { 80: 8080 }],
    ],
  );
  assert.equal(cluster.directory().version, first.version + 1);
});

test("a wait that cannot be met says so with the last lines", options, async () => {
  const dialer = await one.app("dialer");
  await assert.rejects(
    dialer.event("never", undefined, { timeoutMs: 10 }),
    /one\/dialer: event never: nothing within 10 ms\n {2}\| .*ready/,
  );
  dialer.endInput();
  await assert.rejects(dialer.event("never"), /the process ended first/);
});

/** Waits until the process has ended, whether or not anybody has asked for its exit code yet. */
async function gone(pid: number): Promise<void> {
  const ended = (): boolean =>
    !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, "latin1").includes(") Z ");
  for (const deadline = performance.now() + 10_000; !ended(); await pause(5)) {
    assert.ok(performance.now() < deadline, `process ${pid} is still there`);
  }
}

const script = (end: string): string => `
    import { createCluster } from ${JSON.stringify(new URL("../topology/cluster.ts", import.meta.url).href)};
    const cluster = await createCluster();
    const pod = await cluster.pod({ name: "left", project: "shop" });
    const child = await pod.app("dialer");
    console.log(JSON.stringify({ folder: cluster.folder, namespace: pod.facts.netns, pid: child.pid }));
    ${end}`;

/** Says, when asked, whether the namespace and the folder of that run are still there. */
const endedRun = async (end: string): Promise<() => readonly boolean[]> => {
  const { stdout } = await run([process.execPath, "--input-type=module-typescript", "-e", script(end)]);
  const { folder, namespace, pid } = JSON.parse(stdout.split("\n")[0]!) as {
    folder: string;
    namespace: string;
    pid: number;
  };
  await gone(pid);
  return () => [existsSync(`/run/netns/${namespace}`), existsSync(folder)];
};

test("nothing is left of a cluster: closed, ended by an uncaught error, or by SIGKILL", options, async () => {
  const close = "await cluster.close(); process.exit(0);";
  assert.deepEqual((await endedRun(close))(), [false, false]);
  assert.deepEqual((await endedRun("throw new Error('uncaught');"))(), [false, false]);
  assert.deepEqual((await endedRun("process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000);"))(), [
    false,
    false,
  ]);
  const leftovers = await endedRun("process.kill(process.pid, 'SIGKILL');"); // only the children end with it
  await endedRun(close);
  assert.deepEqual(leftovers(), [false, false]);
});
