/** The proxy's directory over the stream of a real controller: what it sees, learns, forgets and keeps. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TestContext } from "node:test";
import { IdentityAgent } from "../../../../lib/enrolment/agent.ts";
import type { Credentials } from "../../../../lib/enrolment/identity.ts";
import { createCaClient } from "../../../../lib/enrolment/ca-client.ts";
import { trustOf } from "../../../../lib/enrolment/root-file.ts";
import { systemClock } from "../../../../lib/clock/clock.ts";
import type { Clock } from "../../../../lib/clock/clock.ts";
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
  await rig?.stop();
});

type Line = Readonly<Record<string, unknown>> & { readonly event: string };
type Started = {
  readonly source: StreamSource;
  readonly lines: Line[];
  readonly view: () => View;
  readonly stop: () => void;
  /** As after each renewal of the certificate. */
  readonly renew: () => void;
};

type Where = {
  readonly port?: number;
  readonly stateFolder?: string | null;
  readonly agent?: boolean;
  readonly clock?: Clock;
};

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
    clock: where.clock ?? systemClock,
    random: () => 0,
    log,
  });
  const agent = where.agent === false ? null : await agentOf(t, pod);
  let renewals = 0;
  const told = (credentials: Credentials): void => {
    const { identity } = credentials;
    source.renew({ ...credentials, identity: { ...identity, generation: identity.generation + renewals } });
  };
  agent?.onChange(told);
  agent?.start();
  const stop = (): void => {
    agent?.stop();
    source.close();
  };
  t.after(stop);
  const renew = (): void => {
    renewals++;
    told(agent?.current() ?? assert.fail("no certificate yet"));
  };
  return { source, lines, stop, renew, view: () => source.current() ?? assert.fail("no view yet") };
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
    assert.equal(await source.lookUp(ip("10.3.4.2"), false), "held");
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
    await eventually(async () => assert.equal(await source.lookUp(vip, false), "held"));
    assert.equal(classify(view(), vip), "other-project");
    const unused = ip("10.96.250.250");
    assert.deepEqual(await Promise.all([source.lookUp(unused, false), source.lookUp(unused, false)]), [
      "unheld",
      "unheld",
    ]);
    // The view does not hold it: it may be held a moment later.
    assert.equal(view().snapshot.holders.has(unused), false);
  });

  test("that nobody held an address is remembered until somebody does, whoever that is", async (t) => {
    await rig.project("resting");
    const time = { at: 0 };
    const { source, view } = await startSource(t, await podIn("resting"), {
      clock: { ...systemClock, monotonic: () => time.at },
    });
    await eventually(async () => assert.equal(view().policy.mode, "project"));
    const [own, foreign] = [ip("10.3.5.2"), ip("10.3.5.3")];
    const both = async (lastWillDo: boolean): Promise<unknown> =>
      Promise.all([source.lookUp(own, lastWillDo), source.lookUp(foreign, lastWillDo)]);
    assert.deepEqual(await both(true), ["unheld", "unheld"]);
    assert.deepEqual(await both(true), ["unheld", "unheld"]);
    time.at = 5_000;
    assert.deepEqual(await both(true), ["unheld", "unheld"]);
    assert.deepEqual(await both(true), ["last-unheld", "last-unheld"]);
    assert.deepEqual(await both(false), ["unheld", "unheld"]);
    // Time stands still: only the controller can end what is remembered.
    await rig.api.objects.namespace("moving-in");
    await rig.api.objects.serviceAccount("moving-in", "cart");
    await rig.pod("moving-in", "stranger", { ip: foreign, spec: {} });
    await rig.pod("resting", "neighbour", { ip: own, spec: {} });
    await eventually(async () => assert.equal(await source.lookUp(foreign, true), "held"));
    await eventually(async () => assert.equal(podAt(view(), own), "neighbour"));
    await rig.api.objects.deletePod("resting", "neighbour");
    await eventually(async () => assert.equal(podAt(view(), own), undefined));
    assert.equal(await source.lookUp(own, true), "unheld");
  });

  test("while no controller answers, an address that nobody held is what it was", async (t) => {
    await rig.project("deserted");
    const first = await rig.controller({ TENCRYPT_CLUSTER_RANGES: "10.0.0.0/8" });
    const time = { at: 0 };
    const clock = { ...systemClock, monotonic: () => time.at };
    const { source, view, lines } = await startSource(t, await podIn("deserted"), {
      port: first.directory.port,
      clock,
    });
    await eventually(async () => assert.equal(view().policy.mode, "project"));
    const [steady, once, never] = [ip("10.3.6.2"), ip("10.3.6.3"), ip("10.3.6.4")];
    assert.equal(await source.lookUp(steady, true), "unheld");
    time.at = 5_000;
    for (const each of [steady, once]) assert.equal(await source.lookUp(each, true), "unheld");
    await first.stop();
    await eventually(async () => assert.ok(lines.some(({ event }) => event === "directory_lost")));
    time.at = 3_600_000;
    const answers = await Promise.all([steady, once, never].map((each) => source.lookUp(each, true)));
    assert.deepEqual(answers, ["last-unheld", "no-answer", "no-answer"]);
    assert.equal(await source.lookUp(steady, false), "no-answer");
  });

  test("without a stream is no answer", async (t) => {
    await rig.project("alone");
    const { source } = await startSource(t, await podIn("alone"), { agent: false });
    assert.equal(await source.lookUp(ip("10.96.0.99"), false), "no-answer");
  });
});

describe("a look-up during a renewal", why === null ? {} : { skip: why }, () => {
  test("is answered while the certificate is renewed, again and again", async (t) => {
    await rig.project("renewing");
    const { source, view, lines, renew } = await startSource(t, await podIn("renewing"));
    await eventually(async () => assert.equal(view().policy.mode, "project"));
    const connected = (): number => lines.filter(({ event }) => event === "directory_connected").length;
    await rig.api.objects.namespace("overseas");
    await rig.api.objects.serviceAccount("overseas", "cart");
    await rig.pod("overseas", "farther", { ip: "10.3.7.2", spec: {} });
    for (let renewals = 1; renewals <= 5; renewals++) {
      const earlier = connected();
      renew();
      const asked = [source.lookUp(ip("10.3.7.2"), false), source.lookUp(ip("10.3.7.9"), false)];
      assert.deepEqual(await Promise.all(asked), ["held", "unheld"]);
      await eventually(async () => assert.equal(connected(), earlier + 1));
    }
    // What was learned through the last stream is taken back through it.
    assert.equal(await source.lookUp(ip("10.3.7.2"), false), "held");
    await rig.api.objects.deletePod("overseas", "farther");
    await eventually(async () => assert.equal(podAt(view(), "10.3.7.2"), undefined));
    assert.equal(lines.filter(({ event }) => event === "directory_lost").length, 0);
  });

  test("is answered, and changes follow, while the next stream cannot be opened", async (t) => {
    await rig.project("stranded");
    const where: { port: number } = { port: one.directory.port };
    const { source, view, lines, renew } = await startSource(t, await podIn("stranded"), where);
    await eventually(async () => assert.equal(view().policy.mode, "project"));
    where.port = 1;
    renew();
    assert.equal(await source.lookUp(ip("10.3.8.9"), false), "unheld");
    await rig.pod("stranded", "neighbour", { ip: "10.3.8.2" });
    await eventually(async () => assert.equal(podAt(view(), "10.3.8.2"), "neighbour"));
    await eventually(async () => assert.ok(lines.some(({ event }) => event === "directory_next_failed")));
    assert.equal(await source.lookUp(ip("10.3.8.9"), false), "unheld");
    where.port = one.directory.port;
    renew();
    await eventually(async () => assert.equal(lines.filter(({ event }) => event === "directory_connected").length, 2));
    await rig.api.objects.deletePod("stranded", "neighbour");
    await eventually(async () => assert.equal(podAt(view(), "10.3.8.2"), undefined));
    assert.equal(lines.filter(({ event }) => event === "directory_lost").length, 0);
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
