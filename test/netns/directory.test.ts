/**
 * A bad directory document never changes what holds: the proxy says why it refuses it and goes on with the last good
 * one. A good one counts within a second, renamed into place or written in place, and never loosens the floor.
 */
import assert from "node:assert/strict";
import { appendFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { dial, reaches, refuses } from "../topology/attempts.ts";
import type { Capture, Child, DirectoryDocument, Json, Pod } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";
import type { Steady } from "../topology/steady.ts";

const options = { skip: needsRoot };
const canary = "canary-directory-4be2";
const clear = "clear-text";
const echo = 7000;
const withinMs = 1_000;

let mesh: Mesh;
let client: Pod;
let server: Pod;
let outsider: Pod;
let bridge: Capture;
let inside: Child;
let proxy: Child;
/** The client's own: a document that is bad for it may be good for the server. */
let file: string;
let steady: Steady;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "project" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "strict", project: "shop" },
      { name: "bystander", project: "shop" },
      { name: "outsider", project: "default", protected: false },
    ],
    floor: "project",
    without: ["client", "strict"],
  });
  file = `${mesh.cluster.makeFolder("client-directory", 0)}/directory.json`;
  mesh.cluster.writeDirectory(undefined, file);
  await mesh.startProxy("client", { env: { TENCRYPT_DIRECTORY_FILE: file } });
  [client, server, outsider] = [mesh.pod("client"), mesh.pod("server"), mesh.pod("outsider")];
  proxy = mesh.proxy("client");
  bridge = await mesh.cluster.capture();
  inside = await client.app("dialer");
  await Promise.all([server, outsider].map((pod) => pod.serve("echo-server", echo)));
  await asBefore();
  steady = await watchSteady(mesh, { from: "bystander", to: "client", text: canary });
});
after(() => mesh?.close());

/** What the last good document says still holds. */
async function asBefore(): Promise<void> {
  for (const host of server.ips) await reaches(inside, { host, port: echo }, canary);
  for (const host of outsider.ips) await reaches(inside, { host, port: echo }, clear);
}

/** A good document for both; it counts within a second. */
async function publish(change: Partial<DirectoryDocument> = {}): Promise<void> {
  const document = mesh.cluster.directory(change);
  const isIt = ({ version }: Json): boolean => version === document.version;
  for (const path of [file, mesh.cluster.directoryFile]) mesh.cluster.writeDirectory(document, path);
  await Promise.all(
    [proxy, mesh.proxy("server")].map((each) => each.event("directory_accepted", isIt, { timeoutMs: withinMs })),
  );
}

const text = (change: Partial<DirectoryDocument> = {}): string => JSON.stringify(mesh.cluster.directory(change));
const without = <T>(list: readonly T[], isIt: (item: T) => boolean): readonly T[] => list.filter((item) => !isIt(item));

/** Why the newest document is not in use, as the proxy's admin port tells inside of the pod. */
async function refusal(): Promise<unknown> {
  const { port } = await proxy.event("listening", ({ name }) => name === "admin");
  const script = `fetch("http://127.0.0.1:${Number(port)}/status").then((r) => r.text()).then(console.log)`;
  const status = JSON.parse(await client.must(process.execPath, ["-e", script])) as Json;
  return status["directoryRefusal"];
}

type Bad = readonly [what: string, reason: string, problem: RegExp, content: () => string];
const bad: readonly Bad[] = [
  ["empty", "directory_malformed", /JSON/, () => ""],
  ["no JSON", "directory_malformed", /JSON/, () => "version: 17"],
  ["half of a document", "directory_malformed", /JSON/, () => text().slice(0, 300)],
  ["a list", "directory_malformed", /./, () => "[]"],
  [
    "a field of the wrong type",
    "directory_malformed",
    /^version/,
    () => JSON.stringify({ ...mesh.cluster.directory(), version: "9" }),
  ],
  [
    "a field missing",
    "directory_malformed",
    /^workloads/,
    () => JSON.stringify({ ...mesh.cluster.directory(), workloads: undefined }),
  ],
  [
    "without the own project",
    "directory_lacks_own_project",
    /^shop$/,
    () => text({ projects: without(mesh.cluster.directory().projects, ({ name }) => name === "shop") }),
  ],
  [
    "without the own addresses",
    "directory_lacks_own_address",
    /^10\.77\.0\.2$/,
    () => text({ workloads: without(mesh.cluster.directory().workloads, ({ pod }) => pod === "client") }),
  ],
  [
    "without one of the own addresses",
    "directory_lacks_own_address",
    /^fd77::2$/,
    () => text({ workloads: mesh.cluster.directory().workloads.map((pod) => ({ ...pod, ips: pod.ips.slice(0, 1) })) }),
  ],
  [
    "with the own addresses as another pod's",
    "directory_lacks_own_address",
    /^10\.77\.0\.2$/,
    () =>
      text({
        workloads: mesh.cluster
          .directory()
          .workloads.map((pod) => (pod.pod === "client" ? { ...pod, uid: "other" } : pod)),
      }),
  ],
  ["of a lower version", "directory_not_newer", /^version 0 after /, () => text({ version: 0 })],
  ["larger than any may be", "directory_too_large", /./, () => text({ requires: ["x".repeat(65 * 1024 * 1024)] })],
  [
    "requiring what no proxy knows",
    "directory_requires_unknown_feature",
    /time-travel/,
    () => text({ requires: ["time-travel"] }),
  ],
];

describe("a document that is refused leaves the one in use in force", options, () => {
  for (const [what, reason, problem, content] of bad) {
    test(what, options, async () => {
      const from = proxy.position;
      mesh.cluster.writeDirectory(content(), file);
      const line = await proxy.event("directory_refused", undefined, { from });
      assert.equal(line["reason"], reason, JSON.stringify(line));
      assert.match(String((line["problems"] as readonly string[])[0]), problem);
      await asBefore();
      assert.deepEqual(proxy.events("directory_accepted", from), []);
    });
  }

  test("the version in use with other content", options, async () => {
    await publish();
    const from = proxy.position;
    const version = Number(proxy.events("directory_accepted").at(-1)!["version"]);
    mesh.cluster.writeDirectory(text({ version, workloads: [client.workload(), server.workload()] }), file);
    const line = await proxy.event("directory_refused", undefined, { from });
    assert.equal(line["reason"], "directory_not_newer");
    await asBefore();
  });

  test("absent", options, async () => {
    const from = proxy.position;
    rmSync(file);
    const line = await proxy.event("directory_refused", undefined, { from });
    assert.deepEqual([line["reason"], line["problems"]], ["directory_unreadable", ["ENOENT"]]);
    assert.deepEqual(await refusal(), { reason: "directory_unreadable", problems: ["ENOENT"] });
    await asBefore();
  });
});

test("after all of it the next good document counts within a second", options, async () => {
  await publish();
  assert.equal(await refusal(), null);
  await asBefore();
});

test("written in place, in pieces: no half of it counts, the whole does within a second", options, async () => {
  const document = mesh.cluster.directory();
  const whole = JSON.stringify(document);
  const from = proxy.position;
  truncateSync(file, 0);
  for (let at = 0; at < whole.length; at += 256) {
    appendFileSync(file, whole.slice(at, at + 256));
    if (at % 1024 === 0) await reaches(inside, { host: server.ip, port: echo }, canary);
  }
  const isIt = ({ version }: Json): boolean => version === document.version;
  await proxy.event("directory_accepted", isIt, { from, timeoutMs: withinMs });
  assert.deepEqual(
    proxy.events("directory_accepted", from).map(({ version }) => version),
    [document.version],
  );
});

describe("the mode", options, () => {
  const withMode = (mode: string): Partial<DirectoryDocument> => ({
    projects: mesh.cluster
      .directory()
      .projects.map((project) => (project.name === "shop" ? { ...project, mode: mode as "strict" } : project)),
  });
  const inForce = (): unknown => proxy.events("directory_accepted").at(-1)!["mode"];

  test("one that nobody knows counts as strict", options, async () => {
    await publish(withMode("relaxed"));
    assert.equal(inForce(), "strict");
    for (const host of outsider.ips)
      await refuses(inside, { host, port: echo }, clear, { by: proxy, reason: "egress_not_allowed" });
    for (const host of server.ips) await reaches(inside, { host, port: echo }, canary);
  });

  test("one below the floor does not loosen it", options, async () => {
    await publish(withMode("permissive"));
    assert.equal(inForce(), "project");
    const answer = await dial(
      await outsider.app("dialer"),
      { host: server.ip, port: echo },
      { send: clear, half: true },
    );
    assert.equal(answer["text"], clear, "an outsider may come in clear, as in project");
    mesh.cluster.project("shop", { mode: "project" });
    await publish();
  });

  test("a floor of strict holds against a document that says permissive", options, async () => {
    await publish(withMode("permissive"));
    const strict = await mesh.startProxy("strict", { mode: "strict" });
    assert.equal(strict.events("ready")[0]!["mode"], "strict");
    const dialer = await mesh.pod("strict").app("dialer");
    for (const host of outsider.ips)
      await refuses(dialer, { host, port: echo }, clear, { by: strict, reason: "egress_not_allowed" });
    for (const host of server.ips) await reaches(dialer, { host, port: echo }, canary);
    await strict.stop();
  });

  test("a floor that nobody knows is strict too", options, async () => {
    const strict = await mesh.startProxy("strict", { env: { TENCRYPT_MODE: "relaxed" } });
    assert.equal(strict.events("ready")[0]!["mode"], "strict");
    await strict.stop();
  });
});

test("before the first document everything is refused, and the proxy is not ready", options, async () => {
  const own = `${mesh.cluster.makeFolder("own", 0)}/directory.json`;
  const late = await mesh.startProxy("strict", { env: { TENCRYPT_DIRECTORY_FILE: own }, wait: false });
  await late.event("listening", ({ name, address }) => name === "outbound" && address === "::1");
  const dialer = await mesh.pod("strict").app("dialer");
  for (const host of [...server.ips, ...outsider.ips])
    await refuses(dialer, { host, port: echo }, canary, { by: late, reason: "no_directory" });
  for (const host of mesh.pod("strict").ips)
    await refuses(await outsider.app("dialer"), { host, port: echo }, clear, { by: late, reason: "no_directory" });
  assert.deepEqual(late.events("ready"), []);
  writeFileSync(own, text());
  await late.event("ready", undefined, { timeoutMs: withinMs });
  for (const host of server.ips) await reaches(dialer, { host, port: echo }, canary);
});

test("a bystander was served all the while, and neither descriptors nor memory are left behind", options, async () => {
  await mesh.proxy("strict").stop(); // with its sessions
  await steady.end();
});

test("the canary was nowhere on the bridge", options, async () => {
  assert.equal((await bridge.stop()).count(canary), 0);
});
