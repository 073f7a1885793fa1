/** The proxy's directory over the stream of a real controller: what it sees, learns, forgets and keeps. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TestContext } from "node:test";
import { IdentityAgent } from "../../../../lib/enrolment/agent.ts";
import { createCaClient } from "../../../../lib/enrolment/ca-client.ts";
import { trustOf } from "../../../../lib/enrolment/root-file.ts";
import { systemClock } from "../../../../lib/clock/clock.ts";
import { parseIp } from "../../../../lib/net/address.ts";
import type { Ip } from "../../../../lib/net/address.ts";
import { connectDirectory } from "../../../../proxy/directory/client.ts";
import { StreamSource } from "../../../../proxy/directory/stream.ts";
import { classify, workloadAt } from "../../../../proxy/route/classify.ts";
import type { View } from "../../../../proxy/route/policy.ts";
import { whyNoApiServer } from "../../../cluster/api-server.ts";
import { eventually } from "../../../cluster/eventually.ts";
import type { Metadata } from "../../../cluster/objects.ts";
import { Rig } from "../../controller/rig.ts";
import type { Controller } from "../../controller/rig.ts";

const why = whyNoApiServer();
const maxLeafLifetimeMs = 48 * 3_600_000;
const ip = (text: string): Ip => parseIp(text) ?? assert.fail(text);
const quiet = (): void => {};

let rig: Rig;
let one: Controller;

before(async () => {
  if (why !== null) return;
  rig = await Rig.start();
  await rig.api.objects.node("n1", "192.0.2.10");
  one = await rig.controller({ TENCRYPT_CLUSTER_RANGES: "10.0.0.0/8" });
});
after(async () => {
  if (why === null) await rig.stop();
});

type Line = Readonly<Record<string, unknown>> & { readonly event: string };
type Started = {
  readonly source: StreamSource;
  readonly lines: Line[];
  readonly view: () => View;
  readonly stop: () => void;
};

type Where = { readonly port?: number; readonly stateFolder?: string | null; readonly agent?: boolean };

const folderOf = (t: TestContext): string => {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-stream-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

/** A proxy's directory and the identity that it shows, for one pod. */
async function startSource(
  t: TestContext,
  pod: Metadata & { readonly ip: string },
  where: Where = {},
): Promise<Started> {
  const lines: Line[] = [];
  const log = (_level: string, event: string, fields: object = {}): void => void lines.push({ event, ...fields });
  const source = await StreamSource.start({
    connect: ({ credentials }) =>
      connectDirectory({
        address: `127.0.0.1:${where.port ?? one.directory.port}`,
        credentials,
        maxLeafLifetimeMs,
        clock: systemClock,
      }),
    stateFolder: where.stateFolder ?? null,
    self: {
      project: pod.namespace,
      podUid: pod.uid,
      ips: new Set([ip(pod.ip)]),
      floor: "permissive",
      proxyPorts: new Set([15_008]),
    },
    clock: systemClock,
    random: () => 0,
    log,
    onSnapshot: quiet,
  });
  const agent = where.agent === false ? null : await agentOf(t, pod);
  agent?.onChange((credentials) => source.renew(credentials));
  agent?.start();
  const stop = (): void => {
    agent?.stop();
    source.close();
  };
  t.after(stop);
  return { source, lines, stop, view: () => source.current() ?? assert.fail("no view yet") };
}

async function agentOf(t: TestContext, pod: Metadata): Promise<IdentityAgent> {
  const tokenFile = join(folderOf(t), "token");
  const { api, ca } = rig;
  const token = { namespace: pod.namespace, serviceAccount: "cart", audience: "tencrypt-ca", pod };
  writeFileSync(tokenFile, await api.objects.token(token), { mode: 0o600 });
  const { data } = await api.admin.get("/api/v1/namespaces/tencrypt-ca/configmaps/tencrypt-root");
  const trustDomain = "cluster.local";
  return new IdentityAgent({
    own: { trustDomain, project: pod.namespace, serviceAccount: "cart", podUid: pod.uid },
    maxLeafLifetimeMs,
    readTrust: () =>
      Promise.resolve(trustOf((data as { "ca.crt": string })["ca.crt"], { where: "test", pins: [], trustDomain })),
    connect: (trust) =>
      createCaClient({ address: `127.0.0.1:${ca.port}`, tokenFile, maxLeafLifetimeMs, clock: systemClock }, trust),
    clock: systemClock,
    random: () => 0,
    log: quiet,
  });
}

let addresses = 0;
async function podIn(namespace: string): Promise<Metadata & { readonly ip: string }> {
  const address = `10.3.0.${++addresses}`;
  return { ...(await rig.pod(namespace, `self-${addresses}`, { ip: address })), ip: address };
}

const podAt = (view: View, address: string): string | undefined => workloadAt(view, ip(address))?.pod;

describe("the stream", why === null ? {} : { skip: why }, () => {
  test("gives a view, and every change of pods and mode follows", async (t) => {
    await rig.project("seen");
    const { view } = await startSource(t, await podIn("seen"));
    await eventually(async () => assert.equal(view().policy.mode, "project"));
    const neighbour = await rig.pod("seen", "neighbour", { ip: "10.3.1.2" });
    await eventually(async () => assert.equal(podAt(view(), "10.3.1.2"), "neighbour"));
    const annotations = { "tencrypt.io/mode": "strict" };
    await rig.api.admin.patch("/api/v1/namespaces/seen", { metadata: { annotations } });
    await eventually(async () => assert.equal(view().policy.mode, "strict"));
    await rig.api.objects.deletePod("seen", neighbour.name);
    await eventually(async () => assert.equal(podAt(view(), "10.3.1.2"), undefined));
  });

  test("that has not named the own address yet gives none, and says so", async (t) => {
    await rig.project("early");
    const pod = { ...(await rig.pod("early", "self", { ip: "10.3.2.2" })), ip: "10.3.2.3" };
    const { source, lines } = await startSource(t, pod);
    await eventually(async () => assert.equal(source.refusal()?.reason, "directory_lacks_own_address"));
    assert.equal(source.current(), null);
    assert.equal(lines.filter(({ event }) => event === "directory_refused").length, 1);
  });

  test("goes on after the controller was away, without a word twice, and never back in version", async (t) => {
    await rig.project("lasting");
    const first = await rig.controller();
    const { port } = first.directory;
    const { view, lines } = await startSource(t, await podIn("lasting"), { port });
    await eventually(async () => assert.equal(view().policy.mode, "project"));
    const { version } = view().snapshot;
    await first.stop();
    await eventually(async () => assert.ok(lines.some(({ event }) => event === "directory_lost")));
    assert.equal(view().snapshot.version, version);
    await rig.pod("lasting", "meanwhile", { ip: "10.3.3.2" });
    await rig.controller({ TENCRYPT_DIRECTORY_LISTEN: `127.0.0.1:${port}` });
    await eventually(async () => assert.equal(podAt(view(), "10.3.3.2"), "meanwhile"));
    assert.ok(view().snapshot.version > version);
    assert.equal(lines.filter(({ event }) => event === "directory_lost").length, 1);
  });
});

describe("a look-up", why === null ? {} : { skip: why }, () => {
  test("names another project's pod until it is gone", async (t) => {
    await rig.project("curious");
    const { source, view } = await startSource(t, await podIn("curious"));
    await eventually(async () => assert.equal(view().policy.mode, "project"));
    await rig.api.objects.namespace("abroad");
    await rig.api.objects.serviceAccount("abroad", "cart");
    await rig.pod("abroad", "far", { ip: "10.3.4.2", spec: {} });
    assert.equal(await source.lookUp(ip("10.3.4.2")), "held");
    assert.equal(classify(view(), ip("10.3.4.2")), "other-project");
    assert.equal(podAt(view(), "10.3.4.2"), "far");
    await rig.api.objects.deletePod("abroad", "far");
    await eventually(async () => assert.equal(podAt(view(), "10.3.4.2"), undefined));
  });

  test("tells another project's Service, a node, and that nobody is there", async (t) => {
    await rig.project("asking");
    const { source, view } = await startSource(t, await podIn("asking"));
    await eventually(async () => assert.equal(view().policy.mode, "project"));
    await rig.api.objects.namespace("hidden");
    const made = await rig.api.admin.create("/api/v1/namespaces/hidden/services", {
      metadata: { name: "db" },
      spec: { ports: [{ port: 5432 }] },
    });
    const vip = ip((made["spec"] as { readonly clusterIP: string }).clusterIP);
    assert.equal(classify(view(), vip), "unknown");
    await eventually(async () => assert.equal(await source.lookUp(vip), "held"));
    assert.equal(classify(view(), vip), "other-project");
    const unused = ip("10.96.250.250");
    assert.deepEqual(await Promise.all([source.lookUp(unused), source.lookUp(unused)]), ["unheld", "unheld"]);
    // Not remembered: it may be held a moment later.
    assert.equal(view().snapshot.holders.has(unused), false);
  });

  test("without a stream is no answer", async (t) => {
    await rig.project("alone");
    const { source } = await startSource(t, await podIn("alone"), { agent: false });
    assert.equal(await source.lookUp(ip("10.96.0.99")), "no-answer");
  });
});

describe("the kept state", why === null ? {} : { skip: why }, () => {
  test("is in use again before any stream, and the stream goes on from it", async (t) => {
    await rig.project("kept");
    const pod = await podIn("kept");
    const stateFolder = folderOf(t);
    const earlier = await startSource(t, pod, { stateFolder });
    await eventually(async () => assert.match(readFileSync(join(stateFolder, "directory.json"), "utf8"), /"kept"/));
    const { version } = earlier.view().snapshot;
    earlier.stop();
    const alone = await startSource(t, pod, { stateFolder, agent: false });
    assert.equal(alone.view().snapshot.version, version);
    assert.ok(alone.lines.some(({ event, inUse }) => event === "directory_restored" && inUse === true));
    const again = await startSource(t, pod, { stateFolder });
    await eventually(async () => assert.ok(again.view().snapshot.version > version));
  });

  test("that is damaged, or another pod's, is as good as none", async (t) => {
    await rig.project("mixed");
    const pod = await podIn("mixed");
    const stateFolder = folderOf(t);
    writeFileSync(join(stateFolder, "directory.json"), "{");
    const damaged = await startSource(t, pod, { stateFolder, agent: false });
    assert.equal(damaged.source.current(), null);
    assert.equal(damaged.lines[0]?.event, "directory_not_restored");
    const first = await startSource(t, pod, { stateFolder });
    await eventually(async () => assert.match(readFileSync(join(stateFolder, "directory.json"), "utf8"), /"mixed"/));
    first.stop();
    const other = await startSource(t, await podIn("mixed"), { stateFolder, agent: false });
    assert.equal(other.source.current(), null);
    assert.equal(other.source.refusal()?.reason, "directory_lacks_own_address");
  });
});
