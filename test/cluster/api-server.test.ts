/** The API server that tests of ca and controller use: what they rely on is true of it. */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { tmpdir } from "node:os";
import { startApiServer, whyNoApiServer } from "./api-server.ts";
import type { ApiServer } from "./api-server.ts";
import { ApiError } from "./client.ts";
import { issuer } from "./control-plane.ts";
import { eventually } from "./eventually.ts";
import type { Metadata } from "./objects.ts";

const audience = "tencrypt-ca";
const why = whyNoApiServer();

const refusal =
  (code: number, message: RegExp) =>
  (error: unknown): boolean =>
    error instanceof ApiError && error.code === code && message.test(error.message);

describe("an API server without nodes", why === null ? {} : { skip: why }, () => {
  let api: ApiServer;
  let node: Metadata;
  let pod: Metadata;

  before(async () => {
    api = await startApiServer();
    await api.objects.namespace("shop", { "tencrypt.io/project": "enabled" });
    await api.objects.serviceAccount("shop", "web");
    node = await api.objects.node("n1", "10.0.0.1");
    pod = await api.objects.pod({
      namespace: "shop",
      name: "web-1",
      serviceAccount: "web",
      node: "n1",
      ip: "10.1.0.7",
      labels: { app: "web" },
    });
  });

  after(() => api?.stop());

  const tokenOf = (): Promise<string> => api.objects.token({ namespace: "shop", serviceAccount: "web", audience, pod });

  test("a token bound to a pod reviews with account, pod and node", async () => {
    const review = await api.objects.review(await tokenOf(), audience);
    assert.equal(review.error, "");
    assert.equal(review.authenticated, true);
    assert.equal(review.username, "system:serviceaccount:shop:web");
    assert.deepEqual(review.audiences, [audience]);
    const extra = (name: string): readonly string[] | undefined => review.extra[`authentication.kubernetes.io/${name}`];
    assert.deepEqual(extra("pod-name"), ["web-1"]);
    assert.deepEqual(extra("pod-uid"), [pod.uid]);
    assert.deepEqual(extra("node-name"), ["n1"]);
    assert.deepEqual(extra("node-uid"), [node.uid]);
    assert.match(extra("credential-id")?.[0] ?? "", /^JTI=/);
  });

  test("a token is refused for another audience, and without an audience of its own", async () => {
    const review = await api.objects.review(await tokenOf(), "other");
    assert.equal(review.authenticated, false);
    assert.match(review.error, /token audiences \["tencrypt-ca"\] is invalid for the target audiences \["other"\]/);
  });

  test("a token for a pod that is gone, or of another account, is not made", async () => {
    const uid = "00000000-0000-4000-8000-000000000000";
    await assert.rejects(
      api.objects.token({ namespace: "shop", serviceAccount: "web", audience, pod: { name: "web-1", uid } }),
      refusal(409, /the UID in the bound object reference .* does not match/),
    );
    await assert.rejects(
      api.objects.token({ namespace: "shop", audience, pod }),
      refusal(400, /cannot bind token for serviceaccount "default" to pod running with different serviceaccount name/),
    );
  });

  test("the tokens of a deleted pod are refused soon after, those that were not reviewed before", async () => {
    const doomed = await api.objects.pod({ namespace: "shop", name: "web-2", serviceAccount: "web", node: "n1" });
    const bound = { namespace: "shop", serviceAccount: "web", audience, pod: doomed };
    const tokens = await Promise.all(Array.from({ length: 20 }, () => api.objects.token(bound)));
    await api.objects.deletePod("shop", "web-2");
    // The reviewer looks into what its watch has brought, and keeps a good review: so each attempt has a token of its own.
    await eventually(async () => {
      const review = await api.objects.review(tokens.pop()!, audience);
      assert.equal(review.authenticated, false);
      assert.match(review.error, /service account token has been invalidated/);
    });
  });

  test("a pod's object shows the address and readiness that were set", async () => {
    const shown = await api.kubectl("-n", "shop", "get", "pod", "web-1", "-o", "wide", "--no-headers");
    assert.match(shown, /^web-1\s+.*Running.*10\.1\.0\.7\s+n1/);
  });

  test("a service account may do what it was allowed, and nothing else", async () => {
    await api.objects.serviceAccount("shop", "reader");
    await api.objects.allow("shop", "reader", [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }]);
    const token = await api.objects.token({ namespace: "shop", serviceAccount: "reader", audience: issuer });
    const reader = api.client(token);
    await assert.rejects(reader.get("/api/v1/namespaces/shop/secrets"), refusal(403, /cannot list resource "secrets"/));
    // The authorizer learns of a new binding from a watch.
    const answer = await eventually(() => reader.get("/api/v1/namespaces/shop/pods/web-1"));
    assert.equal((answer["metadata"] as Metadata).uid, pod.uid);
    assert.ok(existsSync(api.kubeconfigOf(token)));
  });

  test("a service gets endpoints of the pods that are ready", async () => {
    await api.admin.create("/api/v1/namespaces/shop/services", {
      metadata: { name: "web" },
      spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
    });
    const path =
      "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?labelSelector=kubernetes.io/service-name=web";
    const addresses = await eventually(async () => {
      const { items } = (await api.admin.get(path)) as unknown as { items: { endpoints: { addresses: string[] }[] }[] };
      const found = items.flatMap(({ endpoints }) => endpoints.flatMap((endpoint) => endpoint.addresses));
      assert.equal(found.length, 1);
      return found;
    });
    assert.deepEqual(addresses, ["10.1.0.7"]);
  });

  test("a namespace that is deleted can be made again", async () => {
    const first = await api.objects.namespace("gone");
    await api.admin.delete("/api/v1/namespaces/gone");
    const second = await eventually(() => api.objects.namespace("gone"));
    assert.notEqual(second.uid, first.uid);
  });

  test("the server can go away and come back with what it stored", async () => {
    await api.halt();
    await assert.rejects(api.admin.get("/readyz"), { code: "ECONNREFUSED" });
    await api.resume();
    const { metadata } = await api.admin.get("/api/v1/namespaces/shop/pods/web-1");
    assert.equal((metadata as Metadata).uid, pod.uid);
  });
});

test("two servers at once are two, and nothing of them stays", why === null ? {} : { skip: why }, async () => {
  const [one, other] = await Promise.all([startApiServer(), startApiServer()]);
  try {
    await one.objects.namespace("only-here");
    await assert.rejects(other.admin.get("/api/v1/namespaces/only-here"), refusal(404, /not found/));
  } finally {
    await Promise.all([one.stop(), other.stop()]);
  }
  const ours = readdirSync(tmpdir()).filter((name) => name.startsWith(`tencrypt-api-${process.pid}-`));
  assert.ok(ours.length <= 1, `only that of the test above may be there: ${ours.join(" ")}`);
  await assert.rejects(one.admin.get("/readyz"), { code: "ECONNREFUSED" });
});
