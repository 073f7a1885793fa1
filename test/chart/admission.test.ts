/**
 * The admission policies on a real API server decide as docs/operations.md says, for callers with and without the right
 * to relax, and while no controller answers.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { whyNoApiServer } from "../cluster/api-server.ts";
import type { Json } from "../cluster/client.ts";
import { eventually } from "../cluster/eventually.ts";
import { protectedSpec } from "../cluster/protected-pod.ts";
import { changes } from "./changes.ts";
import { enabled, InstalledChart, prefixed, refusal } from "./installed.ts";

const why = whyNoApiServer();
const options = why === null ? {} : { skip: why };

let chart: InstalledChart;
before(async () => {
  if (why === null) chart = await InstalledChart.start();
});
after(async () => {
  await chart?.stop();
});

describe("who may loosen a project", options, () => {
  for (const { before: from, after: to, loosens } of changes) {
    const name = `${JSON.stringify(from)} -> ${JSON.stringify(to)}`;
    test(`${name} ${loosens === null ? "is for everybody" : "is for who may relax"}`, async () => {
      const namespace = await chart.project(prefixed(from));
      const path = `/api/v1/namespaces/${namespace}?dryRun=All`;
      const gone = Object.fromEntries(Object.keys(from).map((key) => [key, null as unknown as string]));
      const body = { metadata: { annotations: prefixed({ ...gone, ...to }) } };
      if (loosens === null) {
        await chart.editor.patch(path, body);
        return;
      }
      await assert.rejects(
        chart.editor.patch(path, body),
        refusal(
          403,
          new RegExp(
            `${loosens}.*needs the verb relax on projects\\.tencrypt\\.io there; next: kubectl -n ${namespace} `,
          ),
        ),
      );
      await eventually(() => chart.owner.patch(path, body));
    });
  }

  test("the label is removed or changed by who may relax only, on every way to write a namespace", async () => {
    const namespace = await chart.project();
    for (const value of [null, "disabled", ""]) {
      for (const way of ["", "/status"]) {
        const path = `/api/v1/namespaces/${namespace}${way}?dryRun=All`;
        const body = { metadata: { labels: { "tencrypt.io/project": value } } };
        await assert.rejects(
          chart.editor.patch(path, body),
          refusal(403, /removing the label tencrypt\.io\/project=enabled/),
        );
        await eventually(() => chart.owner.patch(path, body));
      }
    }
    const current = await chart.api.admin.get(`/api/v1/namespaces/${namespace}`);
    const metadata = { ...(current["metadata"] as Json), labels: {} };
    await assert.rejects(
      chart.editor.replace(`/api/v1/namespaces/${namespace}/finalize?dryRun=All`, { ...current, metadata }),
      refusal(403, /removing the label/),
    );
  });

  test("however long its lists are, a project is changed, tightened and deleted", async () => {
    const entries = Array.from({ length: 1_024 }, (_, index) => index);
    const ranges = entries.map((index) => `10.${index >> 8}.${index & 255}.0/24`);
    const accounts = entries.map((index) => `shop/account-${index}`);
    const lists = {
      peers: entries.map((index) => `peer-${index}/uid-${index}`),
      "allow-egress": ranges,
      "allow-ingress": ranges,
      "allow-from": accounts,
    };
    const without = (count: number): Readonly<Record<string, string>> =>
      prefixed(
        Object.fromEntries(Object.entries(lists).map(([name, list]) => [name, list.slice(count).join()])),
      ) as Readonly<Record<string, string>>;
    const namespace = await chart.project(without(0));
    const path = `/api/v1/namespaces/${namespace}`;
    await chart.editor.patch(path, {
      metadata: { labels: { team: "blue" }, annotations: prefixed({ mode: "strict" }) },
    });
    for (const few of [1, 523]) {
      // Entries are compared one with another, which takes too long here to be left to everybody.
      const shorter = { metadata: { annotations: without(few) } };
      await assert.rejects(chart.editor.patch(path, shorter), refusal(403, /needs the verb relax/));
      await eventually(() => chart.owner.patch(`${path}?dryRun=All`, shorter));
    }
    const empty = { peers: "", "allow-egress": null, "allow-ingress": " ", "allow-from": "" };
    await chart.editor.patch(`${path}?dryRun=All`, { metadata: { annotations: prefixed(empty) } });
    await chart.owner.patch(path, { metadata: { annotations: without(524) } });
    await chart.editor.patch(path, { metadata: { annotations: without(525) } });
    await chart.owner.patch(path, { metadata: { annotations: without(0) } });
    await chart.api.admin.delete(path);
    await eventually(() => assert.rejects(chart.api.admin.get(path), refusal(404, /not found/)));
  });

  test("peers without a uid are completed, and no list takes the API server long", async () => {
    const long = Array.from({ length: 65_000 }, () => "a/b").join();
    const create = (peers: string): Promise<Json> =>
      chart.api.admin.create("/api/v1/namespaces?dryRun=All", {
        metadata: { name: chart.newName(), labels: enabled, annotations: prefixed({ peers }) },
      });
    const startedAt = performance.now();
    for (const peers of ["", " ", ",", "a/b", " a/b , ,c/d,", long]) await create(peers);
    assert.ok(performance.now() - startedAt < 10_000);
    // No controller answers here: to be asked for is all that is left.
    for (const peers of ["a", " a ", "a/b,c", "a/b, c ,d/e", `${long},a`])
      await assert.rejects(create(peers), refusal(500, /failed calling webhook "peers\.tencrypt\.io"/));
  });

  test("the right to relax one project is none for another", async () => {
    const namespace = chart.newName();
    await chart.api.objects.namespace(namespace, enabled);
    const removal = { metadata: { labels: { "tencrypt.io/project": null } } };
    const path = `/api/v1/namespaces/${namespace}?dryRun=All`;
    await assert.rejects(chart.owner.patch(path, removal), refusal(403, /removing the label/));
  });

  test("a namespace that is no project is not concerned", async () => {
    await chart.api.objects.namespace("plain");
    const body = { metadata: { annotations: prefixed({ mode: "permissive", peers: "billing/u1" }) } };
    await chart.editor.patch("/api/v1/namespaces/plain", body);
    await chart.editor.patch("/api/v1/namespaces/plain", { metadata: { labels: enabled } });
  });

  for (const name of ["kube-system", "kube-public", "kube-node-lease", "tencrypt-system", "tencrypt-ca"]) {
    test(`${name} cannot become a project, not even by an administrator`, async () => {
      await assert.rejects(
        chart.api.admin.patch(`/api/v1/namespaces/${name}?dryRun=All`, { metadata: { labels: enabled } }),
        refusal(422, new RegExp(`${name} cannot be a project`)),
      );
    });
  }
});

describe("what nobody may do in a project", options, () => {
  test("hostPID is refused in a project while no controller answers, and elsewhere it is not ours to judge", async () => {
    const namespace = await chart.project();
    const pod = (spec: Json): Json => ({
      metadata: { name: "nosy" },
      spec: { containers: [{ name: "app", image: "localhost/app:1" }], automountServiceAccountToken: false, ...spec },
    });
    // The mutating webhook comes first and is away: taken out of the way here to see the policy itself.
    await chart.api.admin.delete("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/tencrypt");
    await eventually(() =>
      assert.rejects(
        chart.api.admin.create(`/api/v1/namespaces/${namespace}/pods?dryRun=All`, pod({ hostPID: true })),
        refusal(403, new RegExp(`hostPID is refused in project ${namespace}`)),
      ),
    );
    await chart.api.admin.create("/api/v1/namespaces/people/pods?dryRun=All", pod({ hostPID: true }));
  });

  test("a pod of a project waits while no controller answers, a pod elsewhere does not", async () => {
    const namespace = await chart.project();
    const pod = { metadata: { name: "web" }, spec: { containers: [{ name: "app", image: "localhost/app:1" }] } };
    await chart.api.objects.serviceAccount(namespace, "default");
    await assert.rejects(
      chart.api.admin.create(`/api/v1/namespaces/${namespace}/pods?dryRun=All`, pod),
      refusal(500, /failed calling webhook "(inject|validate)\.tencrypt\.io"/),
    );
    await chart.api.admin.create("/api/v1/namespaces/people/pods?dryRun=All", pod);
  });

  test("a token for the ca is given to kubelets only", async () => {
    const request = { spec: { audiences: ["tencrypt-ca"], expirationSeconds: 600 } };
    const path = "/api/v1/namespaces/people/serviceaccounts/editor/token";
    const says = /tokens of the audience tencrypt-ca are for pods, and only kubelets may ask for them/;
    await assert.rejects(chart.editor.create(path, request), refusal(403, says));
    await assert.rejects(chart.api.admin.create(path, request), refusal(403, says));
    await chart.editor.create(path, { spec: { audiences: ["other"], expirationSeconds: 600 } });
    // A kubelet gets one for a pod of its own that mounts it.
    await chart.api.objects.node("n1", "10.0.0.1");
    const volume = { projected: { sources: [{ serviceAccountToken: { audience: "tencrypt-ca", path: "token" } }] } };
    const spec = { volumes: [{ name: "token", ...volume }] };
    const bound = { namespace: "people", name: "bound", serviceAccount: "editor", node: "n1", spec };
    const { uid } = await chart.api.objects.pod(bound);
    const bind = ["--bound-object-kind=Pod", "--bound-object-name=bound", `--bound-object-uid=${uid}`];
    const as = ["--as=system:node:n1", "--as-group=system:nodes", "--as-group=system:masters"];
    const ask = ["create", "token", "editor", "-n", "people", "--audience=tencrypt-ca"];
    const kubelet = await chart.api.kubectl(...ask, ...bind, ...as);
    assert.match(kubelet, /^ey/);
  });

  test("nobody runs a program in a container of ours, but who may relax", async () => {
    const namespace = await chart.project();
    // The webhooks are away: they would make a pod wait.
    await chart.api.admin.patch(`/api/v1/namespaces/${namespace}`, {
      metadata: { labels: { "tencrypt.io/project": null } },
    });
    await chart.api.objects.serviceAccount(namespace, "cart");
    await eventually(() =>
      chart.api.objects.pod({ namespace, name: "web", serviceAccount: "cart", node: "nowhere", spec: protectedSpec() }),
    );
    await chart.api.admin.patch(`/api/v1/namespaces/${namespace}`, { metadata: { labels: enabled } });
    const run = (container: string): string =>
      `/api/v1/namespaces/${namespace}/pods/web/exec?command=node&container=${container}`;
    // Only then is the node looked for, and there is none.
    const admitted = refusal(404, /"nowhere" not found/);
    for (const container of ["tencrypt-init", "tencrypt-proxy"]) {
      await eventually(() =>
        assert.rejects(
          chart.editor.create(run(container), {}),
          refusal(403, new RegExp(`a program in ${container} .*in project ${namespace} needs the verb relax`)),
        ),
      );
      await eventually(() => assert.rejects(chart.owner.create(run(container), {}), admitted));
    }
    await assert.rejects(chart.editor.create(run("app"), {}), admitted);
  });
});
