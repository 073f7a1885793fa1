/** lib/kube against a real API server: calls, errors, and informers that outlive whatever happens to their watch. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { systemClock } from "../../../lib/clock/clock.ts";
import { AccessError, loadAccess } from "../../../lib/kube/access.ts";
import { isStatus, KubeClient, KubeError } from "../../../lib/kube/client.ts";
import { Informer } from "../../../lib/kube/informer.ts";
import type { ConfigMap } from "../../../lib/kube/objects.ts";
import { silent } from "../../../lib/log/log.ts";
import { startApiServer, whyNoApiServer } from "../../cluster/api-server.ts";
import type { ApiServer } from "../../cluster/api-server.ts";
import { eventually } from "../../cluster/eventually.ts";

const why = whyNoApiServer();
const maps = "/api/v1/namespaces/default/configmaps";

let api: ApiServer;
let client: KubeClient;

before(async () => {
  if (why !== null) return;
  api = await startApiServer();
  client = new KubeClient(loadAccess({ kubeconfig: api.kubeconfig }), systemClock);
});
after(async () => {
  client?.close();
  await api?.stop();
});

const put = (name: string, data: Readonly<Record<string, string>> = {}): Promise<ConfigMap> =>
  client.create<ConfigMap>(maps, { metadata: { name }, data });

const follow = (informer: Informer<ConfigMap>): (() => Promise<readonly string[]>) => {
  informer.start();
  return async () => {
    await informer.listed();
    return [...informer.values()].map(({ metadata }) => metadata.name).filter((name) => name.startsWith("f-"));
  };
};

const informerOf = (changes: string[] = []): Informer<ConfigMap> =>
  new Informer<ConfigMap>({
    client,
    clock: systemClock,
    log: silent,
    path: maps,
    onChange: ({ kind, object }) => changes.push(`${kind} ${object.metadata.name}`),
  });

describe("the Kubernetes client", why === null ? {} : { skip: why }, () => {
  test("makes, changes with a check of the version, and deletes", async () => {
    const made = await put("one", { a: "1" });
    const changed = await client.replace<ConfigMap>(`${maps}/one`, { ...made, data: { a: "2" } });
    assert.deepEqual(changed.data, { a: "2" });
    await assert.rejects(
      client.replace(`${maps}/one`, { ...made, data: { a: "3" } }),
      (error: unknown) => isStatus(error, 409) && error.reason === "Conflict",
    );
    await client.patch(`${maps}/one`, { data: { b: "4" } });
    assert.deepEqual((await client.get<ConfigMap>(`${maps}/one`)).data, { a: "2", b: "4" });
    await client.delete(`${maps}/one`);
    await assert.rejects(client.get(`${maps}/one`), (error: unknown) => isStatus(error, 404));
    await assert.rejects(put("Not A Name"), (error: unknown) => isStatus(error, 422) && error.reason === "Invalid");
  });

  test("a token is the caller's identity; a context that is not there is told with those that are", async () => {
    await api.objects.serviceAccount("default", "reader");
    const token = await api.objects.token({
      namespace: "default",
      serviceAccount: "reader",
      audience: "https://kubernetes.default.svc.cluster.local",
    });
    const reader = new KubeClient(loadAccess({ kubeconfig: api.kubeconfigOf(token) }), systemClock);
    await assert.rejects(
      reader.get(maps),
      (error: unknown) => isStatus(error, 403) && /system:serviceaccount:default:reader/.test(error.message),
    );
    reader.close();
    assert.throws(
      () => loadAccess({ kubeconfig: api.kubeconfig, context: "nope" }),
      (error: unknown) => {
        assert.ok(error instanceof AccessError);
        return /no context "nope"; it has: test/.test(error.message);
      },
    );
  });
});

describe("an informer", why === null ? {} : { skip: why }, () => {
  test("sees what is there, what comes, changes and goes", async () => {
    await put("f-before");
    const changes: string[] = [];
    const informer = informerOf(changes);
    const names = follow(informer);
    assert.deepEqual(await names(), ["f-before"]);
    await put("f-after");
    await eventually(async () => assert.deepEqual((await names()).toSorted(), ["f-after", "f-before"]));
    await client.patch(`${maps}/f-after`, { data: { x: "1" } });
    await client.delete(`${maps}/f-after`);
    await client.delete(`${maps}/f-before`);
    await eventually(async () => assert.deepEqual(await names(), []));
    assert.deepEqual(
      changes.filter((change) => change.includes(" f-")),
      ["added f-before", "added f-after", "updated f-after", "removed f-after", "removed f-before"],
    );
    informer.close();
  });

  test("a change that nobody could take is told again, and said with its cause", async () => {
    const told: string[] = [];
    const lines: string[] = [];
    const informer = new Informer<ConfigMap>({
      client,
      clock: systemClock,
      log: (level, event, fields) => lines.push(`${level} ${event} ${String(fields?.["detail"])}`),
      path: maps,
      onChange: ({ kind, object: { metadata } }) => {
        if (!metadata.name.startsWith("t-")) return;
        told.push(`${kind} ${metadata.name}`);
        if (told.length === 1 || told.length === 3) throw new TypeError("not ready for it");
      },
    });
    informer.start();
    await informer.listed();
    await put("t-one");
    await eventually(() => Promise.resolve(assert.deepEqual(told, ["added t-one", "added t-one"])));
    await client.delete(`${maps}/t-one`);
    await eventually(() => Promise.resolve(assert.deepEqual(told.slice(2), ["removed t-one", "removed t-one"])));
    assert.equal(informer.get("default/t-one"), undefined);
    assert.match(lines[0]!, /^error watch_failed added default\/t-one: TypeError: not ready for it\n +at /);
    informer.close();
  });

  test("a list comes in pages", async () => {
    const many = Array.from({ length: 620 }, (_, index) => `p-${index}`);
    for (let at = 0; at < many.length; at += 20) await Promise.all(many.slice(at, at + 20).map((name) => put(name)));
    const informer = informerOf();
    informer.start();
    await informer.listed();
    assert.equal([...informer.values()].filter(({ metadata }) => metadata.name.startsWith("p-")).length, 620);
    informer.close();
  });

  test("lists again when somebody has seen more, and forgets not how far it has seen itself", async () => {
    const informer = informerOf();
    informer.start();
    await informer.listed();
    const seen = BigInt(informer.resourceVersion);
    // Of another kind: of this one the informer hears nothing.
    await api.objects.namespace("moves-on");
    informer.catchUp();
    assert.equal(BigInt(informer.resourceVersion), seen);
    await eventually(async () => assert.ok(BigInt(informer.resourceVersion) > seen));
    await put("f-watched");
    await eventually(async () => assert.ok(informer.get("default/f-watched")));
    await client.delete(`${maps}/f-watched`);
    informer.close();
  });

  test("goes on after the API server was away, and sees what changed meanwhile", async () => {
    const informer = informerOf();
    const names = follow(informer);
    await names();
    await put("f-kept");
    await eventually(async () => assert.deepEqual(await names(), ["f-kept"]));
    await api.halt();
    await assert.rejects(client.get(maps), (error: unknown) => error instanceof KubeError && error.code === 0);
    assert.deepEqual(await names(), ["f-kept"]);
    await api.resume();
    await put("f-late");
    await eventually(async () => assert.deepEqual((await names()).toSorted(), ["f-kept", "f-late"]));
    informer.close();
  });
});
