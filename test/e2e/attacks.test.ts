/**
 * What somebody who may run code in a pod, or edit ConfigMaps of a project, can get: no certificate that is not the pod's
 * own, and no other root. The thief runs in a pod's network namespace, so its calls come from that pod's address.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { ApiError } from "../cluster/client.ts";
import type { Json, KubernetesClient } from "../cluster/client.ts";
import { whyNoCluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { idle, Mesh } from "./kit.ts";
import type { AppOptions, CaAnswer } from "./kit.ts";

const why = whyNoCluster();
const codes = { ok: 0, denied: 7, unauthenticated: 16 } as const;

let mesh: Mesh;

type Attempt = { readonly from: string; readonly token: string; readonly name?: string; readonly namespace?: string };

const kubectl = (...args: readonly string[]): Promise<string> => mesh.cluster.kubectl(...args);

const steal = ({ from, token, name, namespace = "shop" }: Attempt): Promise<CaAnswer> =>
  mesh.askCa({ namespace, pod: from }, token, name);

async function refused(attempt: Attempt, code: number, ...reasons: readonly string[]): Promise<void> {
  const answer = await steal(attempt);
  assert.equal(answer.code, code, JSON.stringify(answer));
  await eventually(async () => {
    const seen = (await mesh.caRefusals()).map(({ reason }) => String(reason));
    assert.ok(
      reasons.some((reason) => seen.includes(reason)),
      seen.join(),
    );
  }, 5_000);
}

before(async () => {
  if (why !== null) return;
  mesh = await Mesh.start({ values: { "ca.rateLimit": 1000 } });
  await mesh.project("shop");
  await mesh.deploy("shop", "web");
  for (const pod of ["client", "other"]) await mesh.pod("shop", pod);
});
after(async () => {
  await mesh?.stop();
});

/** A pod that asks for a token of our audience by itself. */
const mounted: AppOptions = {
  container: { volumeMounts: [{ name: "token", mountPath: "/var/run/tencrypt/token" }] },
  spec: {
    volumes: [
      {
        name: "token",
        projected: { sources: [{ serviceAccountToken: { audience: "tencrypt-ca", path: "token" } }] },
      },
    ],
  },
};

describe("a certificate", why === null ? {} : { skip: why }, () => {
  test("is given for the pod's own token from the pod's own address: the thief can ask", async () => {
    assert.equal((await steal({ from: "client", token: await mesh.token("shop", "client") })).code, codes.ok);
  });

  test("is not given for another pod's token", async () => {
    await refused({ from: "client", token: await mesh.token("shop", "other") }, codes.denied, "source_mismatch");
  });

  test("is not given for a token of another audience, or of a pod of no project", async () => {
    const token = (await kubectl("-n", "shop", "create", "token", "default", "--audience=other")).trim();
    await refused({ from: "client", token }, codes.unauthenticated, "token_wrong_audience");
    await mesh.cluster.objects.namespace("plain");
    await mesh.pod("plain", "poor", idle, mounted);
    const { stdout } = await mesh.exec("plain", "poor", "cat", "/var/run/tencrypt/token/token");
    const attempt = { namespace: "plain", from: "poor", token: stdout };
    await refused(attempt, codes.denied, "project_not_enabled");
  });

  test("is not given in the name of another project or account", async () => {
    const token = await mesh.token("shop", "client");
    for (const name of ["spiffe://cluster.local/ns/bank/sa/vault", "spiffe://cluster.local/ns/shop/sa/admin"])
      await refused({ from: "client", token, name }, codes.denied, "csr_other_identity");
    const own = "spiffe://cluster.local/ns/shop/sa/default";
    assert.equal((await steal({ from: "client", token, name: own })).code, codes.ok);
  });

  test("is not given for a deleted pod's token, also not to the pod that holds its address now", async () => {
    await mesh.pod("shop", "doomed");
    const token = await mesh.token("shop", "doomed");
    const [{ ip } = assert.fail()] = await mesh.pods("shop", "doomed");
    await kubectl("-n", "shop", "delete", "pod", "doomed", "--grace-period=0", "--force");
    const before_ = ip.replace(/[0-9]+$/, (last) => String(Number(last) - 1));
    const heir = await eventually(async () => {
      await kubectl("-n", "shop", "delete", "pod", "heir", "--ignore-not-found", "--grace-period=0", "--force");
      // host-local gives the address after the last one that it gave.
      const write = `echo -n ${before_} >/run/cni-ipam/pods/last_reserved_ip.0`;
      const { code, stderr } = await mesh.cluster.inNode("n1", "sh", "-c", write);
      assert.equal(code, 0, stderr);
      await mesh.pod("shop", "heir");
      const [pod] = await mesh.pods("shop", "heir");
      assert.equal(pod?.ip, ip);
      return "heir";
    });
    await refused({ from: heir, token }, codes.denied, "pod_gone", "token_refused").catch(async () =>
      refused({ from: heir, token }, codes.unauthenticated, "pod_gone", "token_refused"),
    );
  });

  test("is not given to a pod that has no proxy of ours and ran before its namespace became a project", async () => {
    await mesh.cluster.objects.namespace("early");
    await mesh.pod("early", "forger", idle, mounted);
    const { stdout } = await mesh.exec("early", "forger", "cat", "/var/run/tencrypt/token/token");
    await kubectl("label", "namespace", "early", "tencrypt.io/project=enabled");
    await refused({ namespace: "early", from: "forger", token: stdout }, codes.denied, "pod_not_protected");
  });

  test("is not within reach of an application that asks for a token itself, injected or not", async () => {
    for (const inject of ["enabled", "disabled"]) {
      const annotations = { "tencrypt.io/inject": inject };
      await assert.rejects(mesh.pod("shop", "forger", idle, { ...mounted, annotations }), /ca_token/);
    }
  });
});

describe("the root that a pod believes", why === null ? {} : { skip: why }, () => {
  const evil = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
  const forged = { "ca.crt": evil, "root.pem": evil };
  const configMaps = "/api/v1/namespaces/shop/configmaps";

  type Named = { readonly metadata: { readonly name: string } };
  type Sources = {
    readonly name: string;
    readonly env?: readonly unknown[];
    readonly envFrom?: readonly unknown[];
    readonly volumeMounts: readonly { readonly name: string }[];
  };
  type PodSources = {
    readonly spec: {
      readonly initContainers: readonly Sources[];
      readonly containers: readonly Sources[];
      readonly volumes: readonly { readonly name: string }[];
    };
  };

  /** Somebody of the project who may do everything with its ConfigMaps, and nothing else. */
  async function editorOfConfigMaps(): Promise<KubernetesClient> {
    const [name, namespace] = ["mallory", "shop"];
    await mesh.cluster.objects.serviceAccount(namespace, name);
    const roles = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
    const rules = [{ apiGroups: [""], resources: ["configmaps"], verbs: ["*"] }];
    await mesh.cluster.admin.create(`${roles}/roles`, { metadata: { name }, rules });
    await mesh.cluster.admin.create(`${roles}/rolebindings`, {
      metadata: { name },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name },
      subjects: [{ kind: "ServiceAccount", namespace, name }],
    });
    const token = (await kubectl("-n", namespace, "create", "token", name)).trim();
    const client = mesh.cluster.clientOf({ kind: "token", token });
    // The API server learns of the role by a watch of its own.
    await eventually(() => client.get(configMaps));
    return client;
  }

  /** As the pod's proxy reads it. */
  function rootFileOf(pod: string): Promise<string> {
    const read = "process.stdout.write(require('node:fs').readFileSync('/var/run/tencrypt/root/root.pem', 'utf8'))";
    return kubectl("-n", "shop", "exec", pod, "-c", "tencrypt-proxy", "--", "node", "-e", read);
  }

  test("is not what a ConfigMap of the project says, whichever somebody with all rights on them writes", async (t) => {
    const mallory = await editorOfConfigMaps();
    t.after(() => mallory.close());
    for (const name of ["tencrypt-root", "tencrypt", "tencrypt-ca"])
      await mallory.create(configMaps, { metadata: { name } });
    const overwritten = new Set<string>();
    const overwriteAll = async (): Promise<void> => {
      for (const { metadata } of (await mallory.get(configMaps))["items"] as readonly Named[]) {
        const { data } = await mallory.patch(`${configMaps}/${metadata.name}`, { data: forged });
        assert.deepEqual({ ...(data as Json), ...forged }, data);
        overwritten.add(metadata.name);
      }
    };
    // That of the API server's own root is put right at once by a controller, and so overwritten all the time.
    let isUp = false;
    const overwriting = async (): Promise<void> => {
      for (; !isUp; await pause(50)) await overwriteAll();
    };
    await Promise.all([overwriting(), mesh.pod("shop", "fresh").finally(() => (isUp = true))]);
    assert.deepEqual([...overwritten].toSorted(), ["kube-root-ca.crt", "tencrypt", "tencrypt-ca", "tencrypt-root"]);
    assert.equal((await rootFileOf("fresh")).trim(), (await mesh.root()).trim());
    assert.ok((await mesh.call("shop", "fresh", "http://web/")).ok);
    const annotate = mallory.patch("/api/v1/namespaces/shop/pods/fresh", {
      metadata: { annotations: { "tencrypt.io/root": evil } },
    });
    await assert.rejects(annotate, (error: unknown) => error instanceof ApiError && error.code === 403);
  });

  test("is in no ConfigMap at all, by what our containers of a pod name and mount", async () => {
    const { spec } = (await mesh.cluster.admin.get("/api/v1/namespaces/shop/pods/fresh")) as unknown as PodSources;
    const sourcesOf = ({ env = [], envFrom = [], volumeMounts }: Sources): string =>
      JSON.stringify([env, envFrom, spec.volumes.filter(({ name }) => volumeMounts.some((one) => one.name === name))]);
    assert.match(sourcesOf(spec.containers[0]!), /"configMap":/, "the application's is to be found: its API root");
    const ours = spec.initContainers.filter(({ name }) => name.startsWith("tencrypt-"));
    assert.equal(ours.length, 2);
    for (const container of ours) {
      assert.ok(container.volumeMounts.length > 0);
      assert.doesNotMatch(sourcesOf(container), /configMap/i, container.name);
    }
  });

  test("is not what the pod's author writes into its annotation", async () => {
    await mesh.pod("shop", "author", idle, { annotations: { "tencrypt.io/root": evil } });
    const kept = await kubectl(
      "-n",
      "shop",
      "get",
      "pod",
      "author",
      "-o",
      "jsonpath={.metadata.annotations.tencrypt\\.io/root}",
    );
    assert.equal(kept.trim(), (await mesh.root()).trim());
    assert.ok((await mesh.call("shop", "author", "http://web/")).ok);
  });

  test("is not what is written there later: at most the pod's proxy does not start again", async () => {
    const foreign = await kubectl(
      "-n",
      "shop",
      "get",
      "configmap",
      "kube-root-ca.crt",
      "-o",
      "jsonpath={.data.ca\\.crt}",
    );
    const annotate = ["-n", "shop", "annotate", "pod", "author", "--overwrite", `tencrypt.io/root=${foreign}`];
    const { code, stderr } = await mesh.cluster.run("kubectl", annotate);
    // To refuse the change is as good.
    if (code !== 0) return assert.match(stderr, /tencrypt\.io\/root/);
    await eventually(async () => assert.equal((await rootFileOf("author")).trim(), foreign.trim()), 120_000);
    assert.ok((await mesh.call("shop", "author", "http://web/")).ok, "what is verified stays so");
    await mesh.endProxy("shop", "author");
    await eventually(async () => {
      const lines = JSON.stringify(await mesh.log("shop", "author"));
      assert.match(lines, /no certificate in the root file .* matches a pin/);
      assert.doesNotMatch(lines, /"certificate_received"/);
    });
    assert.ok(!(await mesh.call("shop", "author", "http://web/")).ok);
  });
});
