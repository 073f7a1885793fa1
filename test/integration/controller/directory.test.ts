/** The controller's directory on a real API server: who sees what, how fast, and across replicas. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { whyNoApiServer } from "../../cluster/api-server.ts";
import { eventually } from "../../cluster/eventually.ts";
import type { Json } from "../../cluster/client.ts";
import type { Update, Workload } from "../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { protectedSpec } from "../../cluster/protected-pod.ts";
import { Rig } from "./rig.ts";
import type { Controller, DirectoryReader } from "./rig.ts";

const why = whyNoApiServer();
const unavailable = 14;

const pods = (update: Update): readonly string[] => update.workloads.map(({ pod }) => pod).toSorted();

let rig: Rig;
let one: Controller;

before(async () => {
  if (why !== null) return;
  rig = await Rig.start();
  await rig.api.objects.node("n1", "192.0.2.10");
  one = await rig.controller();
});
after(async () => {
  await rig?.stop();
});

const annotate = (name: string, annotations: Json): Promise<Json> =>
  rig.api.admin.patch(`/api/v1/namespaces/${name}`, { metadata: { annotations } });

const service = (namespace: string, name: string, spec: Json): Promise<Json> =>
  rig.api.admin.create(`/api/v1/namespaces/${namespace}/services`, { metadata: { name }, spec });

describe("what a proxy sees", why === null ? {} : { skip: why }, () => {
  test("a proxy gets its own project, the cluster's ranges and its node addresses, and nothing of others", async () => {
    await rig.project("own");
    await rig.project("foreign");
    await rig.pod("foreign", "hidden", { ip: "10.1.0.3", spec: {} });
    const self = await rig.pod("own", "self");
    await rig.pod("own", "bare", { ip: "10.1.0.2", spec: {} });
    await service("own", "web", { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] });
    await service("foreign", "secret", { selector: { app: "x" }, ports: [{ port: 80 }] });
    const reader = (await rig.directory(one, await rig.leafOf(self))).watch();
    const first = await reader.until(
      ({ full, workloads, services }) => full && workloads.length === 2 && services.length >= 2,
    );
    assert.deepEqual(pods(first), ["bare", "self"]);
    assert.deepEqual(
      first.projects.map(({ name, mode }) => `${name} ${mode}`),
      ["own project"],
    );
    assert.deepEqual(first.services.map(({ project, name }) => `${project}/${name}`).toSorted(), [
      "default/kubernetes",
      "own/web",
    ]);
    assert.deepEqual(first.cluster?.clusterRanges, ["10.96.0.0/16"]);
    // The node here does not say which addresses its pods get.
    assert.ok(first.cluster?.lookUpRanges.includes("10.0.0.0/8"));
    assert.deepEqual(first.cluster?.nodeAddresses, ["192.0.2.10"]);
    const ports = Object.fromEntries(first.workloads.map(({ pod, tunnelPort }) => [pod, tunnelPort]));
    assert.deepEqual(ports, { bare: 0, self: 15_008 });
    reader.close();
  });

  test("changes come as deltas with rising versions, a mode within a second", async () => {
    const space = await rig.project("live");
    const reader = (await rig.directory(one, await rig.leafOf(await rig.pod("live", "self")))).watch();
    const first = await reader.until(({ full }) => full);
    const started = performance.now();
    await annotate("live", { "tencrypt.io/mode": "strict" });
    const stricter = await reader.until(({ projects }) => projects.some(({ mode }) => mode === "strict"));
    assert.ok(performance.now() - started < 1_000);
    assert.equal(stricter.full, false);
    assert.equal(stricter.projects[0]?.uid, space.uid);
    assert.ok(stricter.version > first.version);
    const other = await rig.pod("live", "other", { ip: "10.1.1.2" });
    assert.deepEqual(pods(await reader.until(({ workloads }) => workloads.length > 0)), ["other"]);
    await rig.api.objects.deletePod("live", "other");
    const gone = await reader.until(({ removedWorkloads }) => removedWorkloads.length > 0);
    assert.deepEqual(gone.removedWorkloads, [other.uid]);
    reader.close();
  });

  test("what a pod says to be stricter reaches it within a second of being written on it, and nobody else", async () => {
    await rig.project("narrow");
    const self = await rig.pod("narrow", "self");
    const reader = (await rig.directory(one, await rig.leafOf(self))).watch();
    await reader.until(({ full }) => full);
    const bystander = (await rig.directory(one, await rig.leafOf(await rig.pod("narrow", "other")))).watch();
    await bystander.until(({ full }) => full);
    const said = {
      mode: "strict",
      "allow-from": "narrow/cart:8080",
      "dry-run": "strict",
      "node-sources": "refuse",
      "allow-egress": "",
      "allow-ingress": "10.0.0.0/8",
    };
    const annotations = Object.fromEntries(Object.entries(said).map(([name, value]) => [`tencrypt.io/${name}`, value]));
    const started = performance.now();
    await rig.api.admin.patch("/api/v1/namespaces/narrow/pods/self", { metadata: { annotations } });
    const told = async (from: DirectoryReader): Promise<readonly unknown[]> => {
      const has = ({ pod }: Workload): boolean => pod === "self";
      const { workloads } = await from.until((update) => update.workloads.some(has));
      const { mode, allowFrom, dryRun, nodeSources, allowEgress, allowIngress } = workloads.find(has)!;
      return [mode, allowFrom, dryRun, nodeSources, allowEgress?.entries, allowIngress?.entries];
    };
    assert.deepEqual(await told(reader), ["strict", ["narrow/cart:8080"], "strict", "refuse", [], ["10.0.0.0/8"]]);
    assert.ok(performance.now() - started < 1_000);
    // The mode is one word and no list: that is told as it is.
    assert.deepEqual(await told(bystander), ["strict", [], "", "", undefined, undefined]);
    reader.close();
    bystander.close();
  });

  test("a peer is seen once both name each other with their uids, and leaves when one stops", async () => {
    const left = await rig.project("left");
    const right = await rig.project("right");
    await rig.pod("right", "there", { ip: "10.1.2.2" });
    const reader = (await rig.directory(one, await rig.leafOf(await rig.pod("left", "here")))).watch();
    assert.deepEqual(pods(await reader.until(({ full }) => full)), ["here"]);
    await annotate("left", { "tencrypt.io/peers": `right/${right.uid}` });
    await annotate("right", { "tencrypt.io/peers": `left/${left.uid}` });
    const both = await reader.until(({ full, projects }) => full && projects.length === 2);
    assert.deepEqual(pods(both), ["here", "there"]);
    await annotate("right", { "tencrypt.io/peers": "left/00000000-0000-4000-8000-000000000000" });
    assert.deepEqual(pods(await reader.until(({ full, projects }) => full && projects.length === 1)), ["here"]);
    reader.close();
  });
});

describe("streams and look-ups", why === null ? {} : { skip: why }, () => {
  test("a stream goes on where it was, at the replica that it knows", async () => {
    await rig.project("resumed");
    const leaf = await rig.leafOf(await rig.pod("resumed", "self"));
    const reader = (await rig.directory(one, leaf)).watch();
    const first = await reader.until(({ full, workloads }) => full && workloads.length === 1);
    reader.cancel();
    await rig.pod("resumed", "meanwhile", { ip: "10.1.3.2" });
    const again = (await rig.directory(one, leaf)).watch({ version: first.version, resume: first.resume });
    const delta = await again.until(({ workloads }) => workloads.length > 0);
    assert.equal(delta.full, false);
    assert.deepEqual(pods(delta), ["meanwhile"]);
    assert.ok(delta.version > first.version);
    again.close();
  });

  test("another replica gives everything, with a higher version, and never an older state", async () => {
    await rig.project("moving");
    const leaf = await rig.leafOf(await rig.pod("moving", "self"));
    const two = await rig.controller();
    const reader = (await rig.directory(one, leaf)).watch();
    const first = await reader.until(({ full }) => full);
    reader.close();
    const far = first.version + 1_000_000n;
    const moved = (await rig.directory(two, leaf)).watch({ ...first, version: far });
    const full = await moved.until(({ full: isFull }) => isFull);
    assert.ok(full.version > far);
    moved.close();
    const revisions = first.revisions.map(({ kind, resourceVersion }) => ({
      kind,
      resourceVersion: resourceVersion + 1_000_000n,
    }));
    const ahead = (await rig.directory(two, leaf)).watch({ revisions });
    assert.deepEqual(await ahead.next(), { kind: "end", code: unavailable });
    ahead.close();
  });

  test("a replica that has heard nothing for a while catches up with what a caller has seen", async () => {
    await rig.project("caught-up");
    const leaf = await rig.leafOf(await rig.pod("caught-up", "self"));
    const three = await rig.controller();
    const first = await (await rig.directory(three, leaf)).watch().until(({ full }) => full);
    // Another kind moves on: of this one the replica hears nothing.
    for (let count = 0; count < 5; count++) await rig.api.objects.namespace(`moved-${count}`);
    const { metadata } = (await rig.api.admin.get("/apis/networking.k8s.io/v1/servicecidrs")) as unknown as {
      readonly metadata: { readonly resourceVersion: string };
    };
    const known = first.revisions.find(({ kind }) => kind === "servicecidrs")!.resourceVersion;
    assert.ok(BigInt(metadata.resourceVersion) > known);
    const revisions = [{ kind: "servicecidrs", resourceVersion: BigInt(metadata.resourceVersion) }];
    assert.deepEqual(await (await rig.directory(three, leaf)).watch({ revisions }).next(), {
      kind: "end",
      code: unavailable,
    });
    await eventually(async () => {
      const next = await (await rig.directory(three, leaf)).watch({ revisions }).next();
      assert.ok(!("kind" in next));
    });
  });

  test("an address of somebody else is looked up, and told when its holder changes", async () => {
    await rig.project("asking");
    const reader = (await rig.directory(one, await rig.leafOf(await rig.pod("asking", "self")))).watch();
    await reader.until(({ full }) => full);
    await rig.api.objects.namespace("elsewhere");
    await rig.api.objects.serviceAccount("elsewhere", "db");
    const far = await rig.pod("elsewhere", "far", { serviceAccount: "db", ip: "10.1.4.2", spec: {} });
    const { pods: held } = await reader.lookUp("10.1.4.2");
    assert.deepEqual(
      held?.pods.map(({ project, serviceAccount, uid }) => [project, serviceAccount, uid]),
      [["elsewhere", "db", far.uid]],
    );
    assert.ok((await reader.lookUp("10.1.4.77")).nobody !== undefined);
    assert.equal((await reader.lookUp("192.0.2.10")).node?.name, "n1");
    const { spec } = (await service("elsewhere", "db", { ports: [{ port: 5432 }] })) as { spec: { clusterIP: string } };
    await eventually(async () => assert.equal((await reader.lookUp(spec.clusterIP)).service?.name, "db"));
    await rig.api.objects.deletePod("elsewhere", "far");
    // The Service's address is forgotten too where it was asked for before the informer knew of it.
    const { forget } = await reader.until((message) => message.forget.includes("10.1.4.2"));
    assert.deepEqual(
      forget.filter((address) => address !== spec.clusterIP),
      ["10.1.4.2"],
    );
    reader.close();
  });

  test("two pods that claim one address are both seen, whoever the other belongs to", async () => {
    await rig.project("claimed");
    const reader = (await rig.directory(one, await rig.leafOf(await rig.pod("claimed", "self")))).watch();
    await rig.pod("claimed", "rightful", { ip: "10.1.5.2" });
    await reader.until(({ workloads }) => workloads.some(({ pod }) => pod === "rightful"));
    await rig.api.objects.namespace("intruding");
    await rig.api.objects.serviceAccount("intruding", "cart");
    await rig.pod("intruding", "thief", { ip: "10.1.5.2", spec: {} });
    const conflict = await reader.until(({ workloads }) => workloads.some(({ pod }) => pod === "thief"));
    assert.equal(conflict.workloads.find(({ pod }) => pod === "thief")?.project, "intruding");
    await rig.api.objects.deletePod("intruding", "thief");
    await reader.until(({ removedWorkloads }) => removedWorkloads.length === 1);
    reader.close();
  });

  test("streams stay while the API server is away, and go on with it", async () => {
    await rig.project("patient");
    const reader = (await rig.directory(one, await rig.leafOf(await rig.pod("patient", "self")))).watch();
    await reader.until(({ full, workloads }) => full && workloads.length === 1);
    await rig.api.halt();
    await rig.api.resume();
    await rig.pod("patient", "later", { ip: "10.1.6.2" });
    assert.deepEqual(pods(await reader.until(({ workloads }) => workloads.length > 0)), ["later"]);
    reader.close();
  });
});

describe("who counts as protected", why === null ? {} : { skip: why }, () => {
  test("a pod that only looks protected is told as one that is not", async () => {
    await rig.project("looks");
    const self = await rig.pod("looks", "self");
    const token = { serviceAccountToken: { audience: "tencrypt-ca", path: "token" } };
    const mine = { name: "mine", projected: { sources: [token] } };
    const forged: Readonly<Record<string, Json>> = {
      pid: { hostPID: true },
      shared: { shareProcessNamespace: true },
      stolen: { volumes: [...protectedSpec().volumes, mine] },
      twin: { securityContext: { runAsUser: 1337 } },
    };
    for (const [name, changes] of Object.entries(forged))
      await rig.pod("looks", name, { spec: { ...protectedSpec(), ...changes } });
    const reader = (await rig.directory(one, await rig.leafOf(self))).watch();
    const { workloads } = await reader.until(({ full, workloads: all }) => full && all.length === 5);
    const ports = Object.fromEntries(workloads.map(({ pod, tunnelPort }) => [pod, tunnelPort]));
    assert.deepEqual(ports, { self: 15_008, pid: 0, shared: 0, stolen: 0, twin: 0 });
    reader.close();
  });
});
