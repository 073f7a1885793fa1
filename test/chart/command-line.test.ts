/**
 * `tencrypt install` and `upgrade` with the real helm: what an upgrade leaves as it was, and what is left of an
 * installation that was printed and applied to an empty cluster. No node is there: what a kubelet would say of the pods is
 * set by the test.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { loadAllYaml } from "@kubernetes/client-node";
import { newRoot } from "../../ca/issue/authority.ts";
import { startApiServer, whyNoApiServer } from "../cluster/api-server.ts";
import type { ApiServer } from "../cluster/api-server.ts";
import type { KubernetesClient } from "../cluster/client.ts";
import { issuer } from "../cluster/control-plane.ts";
import { eventually } from "../cluster/eventually.ts";
import { runningStatus } from "../cluster/objects.ts";
import { protectedSpec } from "../cluster/protected-pod.ts";
import { chart, helm, helmUntil, releaseNamespace, runWithHelm } from "./helm.ts";
import type { Answer } from "./helm.ts";
import type { Rendered } from "./rendered.ts";

const why = whyNoApiServer();
const main = join(import.meta.dirname, "../../cli/main.ts");
const hook = join(import.meta.dirname, "../../hook/main.ts");
const namespaces = [releaseNamespace, "tencrypt-ca"];
const skip = why === null ? {} : { skip: why };

const tencrypt = (api: ApiServer, ...args: readonly string[]): Promise<Answer> =>
  runWithHelm(process.execPath, [main, ...args], api.kubeconfig);

/** Until it is told to stop, every pod of a Deployment is ready and every one of a Job has succeeded. */
function playKubelet({ admin, objects }: ApiServer): () => Promise<void> {
  let stopped = false;
  const look = async (): Promise<void> => {
    for (const namespace of namespaces) {
      const { items } = (await admin.get(`/api/v1/namespaces/${namespace}/pods`)) as unknown as {
        readonly items: readonly {
          readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
          readonly status?: { readonly phase?: string };
        }[];
      };
      for (const { metadata } of items.filter(({ status }) => status?.phase === "Pending")) {
        const isOfJob = metadata.labels?.["batch.kubernetes.io/job-name"] !== undefined;
        const status = isOfJob ? { phase: "Succeeded" } : runningStatus("10.9.0.1");
        // It may have been replaced meanwhile.
        await objects.podStatus(namespace, metadata.name, status).catch(() => {});
      }
    }
  };
  const working = (async () => {
    while (!stopped) {
      await look();
      await pause(50);
    }
  })();
  return () => {
    stopped = true;
    return working;
  };
}

async function modeAndLevel(admin: KubernetesClient): Promise<readonly (string | undefined)[]> {
  const path = `/apis/apps/v1/namespaces/${releaseNamespace}/deployments/tencrypt-controller`;
  const { spec } = (await admin.get(path)) as unknown as {
    readonly spec: { template: { spec: { containers: { env: { name: string; value: string }[] }[] } } };
  };
  const env = spec.template.spec.containers[0]?.env ?? [];
  return ["TENCRYPT_MODE", "TENCRYPT_LOG_LEVEL"].map((name) => env.find((variable) => variable.name === name)?.value);
}

describe("an upgrade of which one value is given", skip, () => {
  let api: ApiServer;
  before(async () => {
    api = await startApiServer();
    const values = ["--set", "mode=strict", "--set", "logLevel=warn"];
    const install = ["install", "tencrypt", chart, "-n", releaseNamespace, "--create-namespace", "--no-hooks"];
    const { code, stderr } = await helm([...install, ...values], api.kubeconfig);
    assert.equal(code, 0, stderr);
  });
  after(() => api?.stop());

  test("would change nothing else", async () => {
    const { code, stdout, stderr } = await tencrypt(api, "upgrade", "--dry-run", "--set", "logLevel=debug");
    assert.equal(code, 0, stderr);
    assert.match(stdout, /\+ +value: debug\n/);
    assert.doesNotMatch(stdout, /strict|project/);
  });

  test("is printed with the others", async () => {
    const { code, stdout, stderr } = await tencrypt(api, "upgrade", "--print", "--set", "logLevel=debug");
    assert.equal(code, 0, stderr);
    assert.match(stdout, /name: TENCRYPT_MODE, value: strict/);
    assert.match(stdout, /name: TENCRYPT_LOG_LEVEL, value: debug/);
  });

  test("with wrong values ends as bad configuration, and does not send to a check of the cluster", async () => {
    for (const [args, says] of [
      [["upgrade", "--set", "mode=bad"], /value must be one of/],
      [["upgrade", "--dry-run", "--set", "ca.leafTtl=31d"], /ca\.leafTtl is/],
      [["install", "--print", "--set", "nonsense=1"], /additional properties/],
      [["upgrade", "--values", "/nowhere/values.yaml"], /no such file/],
    ] as const) {
      const { code, stdout, stderr } = await tencrypt(api, ...args);
      assert.deepEqual([code, stdout], [64, ""], stderr);
      assert.match(stderr, says);
      assert.match(stderr, /\nnext: mend the values: docs\/operations\.md, Values\n$/);
    }
    const again = await tencrypt(api, "install");
    assert.equal(again.code, 1);
    assert.match(again.stderr, /\nnext: tencrypt upgrade\n$/);
  });

  test("uninstall lists what would go and who loses certificates, and removes nothing unasked", async () => {
    const none = await tencrypt(api, "uninstall", "--dry-run");
    assert.match(none.stderr, /\nNo pod has a proxy of Tencrypt: nothing loses its connections\.\n$/);
    // The label was taken off: its pods have their proxies all the same.
    await api.objects.namespace("former");
    await api.objects.pod({ namespace: "former", name: "web", spec: protectedSpec() });
    await api.objects.pod({ namespace: "former", name: "bare" });
    const told =
      /the control plane of the cluster 127\.0\.0\.1:[0-9]+ and all keys.*\nPods that have a proxy: 1 \(former 1\)\./;
    const dry = await tencrypt(api, "uninstall", "--dry-run");
    assert.equal(dry.code, 0, dry.stderr);
    assert.match(dry.stdout, /removed: Deployment tencrypt-ca\/tencrypt-ca\n/);
    assert.match(dry.stdout, /removed: Namespace tencrypt-ca\n/);
    assert.match(dry.stdout, /\n0 added, 0 changed, [1-9][0-9]* removed\n$/);
    assert.match(dry.stderr, told);
    assert.doesNotMatch(dry.stdout + dry.stderr, /uninstalled/);
    const unasked = await tencrypt(api, "uninstall");
    assert.equal(unasked.code, 1);
    assert.match(unasked.stderr, told);
    assert.match(unasked.stderr, /error: nothing was removed\n/);
    assert.equal((await tencrypt(api, "uninstall", "--dry-run", "--set", "a=b")).code, 2);
    assert.equal((await tencrypt(api, "uninstall", "--dry-run")).stdout, dry.stdout);
  });

  test("changes nothing else", async () => {
    const stopKubelet = playKubelet(api);
    const { code, stderr } = await tencrypt(api, "upgrade", "--set", "logLevel=debug", "--timeout", "60s");
    await stopKubelet();
    assert.equal(code, 0, stderr);
    assert.deepEqual(await modeAndLevel(api.admin), ["strict", "debug"]);
    // A label alone would be a rollout with refusals.
    const [, steps] =
      /\n {2}(kubectl annotate .*mode=permissive)\n(?:.*\n)*next: tencrypt check; then the steps/.exec(stderr) ?? [];
    assert.equal(steps, "kubectl annotate namespace NAME tencrypt.io/mode=permissive");
    // Three commands protect a project. What only some want stands apart.
    assert.deepEqual(
      [...stderr.matchAll(/(?<=\n\n)(?: {2}\S.*\n)+/g)].map(([block]) => block.trim().split("\n").length),
      [3, 1, 1],
    );
  });

  test("that was interrupted tells how to go on, and that is the way", async () => {
    const there = ["tencrypt", "-n", releaseNamespace];
    const interrupted = new AbortController();
    const upgrade = ["upgrade", ...there, chart, "--wait", "--no-hooks", "--reset-then-reuse-values"];
    const waiting = helmUntil(interrupted.signal, [...upgrade, "--set", "replicas=3"], api.kubeconfig);
    const pending = `/api/v1/namespaces/${releaseNamespace}/secrets?labelSelector=status%3Dpending-upgrade`;
    await eventually(async () => {
      const { items } = (await api.admin.get(pending)) as unknown as { readonly items: readonly unknown[] };
      assert.equal(items.length, 1);
    });
    interrupted.abort();
    await waiting;
    const { code, stderr } = await tencrypt(api, "upgrade", "--timeout", "10s");
    assert.equal(code, 1);
    assert.match(
      stderr,
      /is in progress\n(?:.*\n)*next: if no other Helm runs: helm -n tencrypt-system rollback tencrypt;/,
    );
    const back = await helm(["rollback", ...there, "--no-hooks"], api.kubeconfig);
    assert.equal(back.code, 0, back.stderr);
    const again = await tencrypt(api, "upgrade", "--dry-run");
    assert.equal(again.code, 0, again.stderr);
  });
});

describe("a ca that was scaled to nothing and back, as for a new root", skip, () => {
  test("is upgraded without a conflict", async (t) => {
    const api = await startApiServer();
    t.after(() => api?.stop());
    const there = ["tencrypt", chart, "-n", releaseNamespace, "--no-hooks"];
    const install = await helm(["install", ...there, "--create-namespace"], api.kubeconfig);
    assert.equal(install.code, 0, install.stderr);
    for (const replicas of [0, 2])
      await api.kubectl("-n", "tencrypt-ca", "scale", "deployment", "tencrypt-ca", `--replicas=${replicas}`);
    await api.kubectl("-n", releaseNamespace, "rollout", "restart", "deployment", "tencrypt-controller");
    const upgrade = await helm(["upgrade", ...there, "--reset-then-reuse-values"], api.kubeconfig);
    assert.equal(upgrade.code, 0, upgrade.stderr);
  });
});

describe("an installation that is printed", skip, () => {
  let api: ApiServer;
  let printed: Answer;
  let objects: readonly Rendered[];
  before(async () => {
    api = await startApiServer();
    printed = await tencrypt(api, "install", "--print", "--set", "mode=strict");
    objects = loadAllYaml(printed.stdout) as readonly Rendered[];
  });
  after(() => api?.stop());

  const binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/tencrypt-trust";

  test("is no release, of which nothing can be removed: maybe another cluster was meant", async () => {
    for (const args of [["uninstall", "--yes"], ["upgrade"]]) {
      const { code, stderr } = await tencrypt(api, ...args);
      assert.equal(code, 1);
      assert.match(
        stderr,
        /\nnext: kubectl config current-context: is it the right cluster\? to install there: tencrypt install\n$/,
      );
    }
  });

  test("begins with the release namespace and has no hooks in it", () => {
    assert.equal(printed.code, 0, printed.stderr);
    assert.deepEqual([objects[0]?.kind, objects[0]?.metadata.name], ["Namespace", releaseNamespace]);
    assert.doesNotMatch(printed.stdout, /helm\.sh\/hook/);
    const names = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    assert.ok(names.includes("Job tencrypt-trust"), "the API server has to be told the root");
    assert.deepEqual(
      names.filter((name) => /tencrypt-(?:test|uninstall)$/.test(name)),
      [],
    );
    assert.equal(names.filter((name) => name.endsWith(" tencrypt-trust")).length, 6);
  });

  test("is accepted as it is by an empty cluster, and again", async () => {
    const file = join(dirname(api.kubeconfig), "printed.yaml");
    writeFileSync(file, printed.stdout);
    for (const _ of ["empty", "again"]) {
      const applied = await api.kubectl("apply", "--server-side", "--validate=strict", "-f", file);
      assert.equal(applied.trim().split("\n").length, objects.length, applied);
    }
    assert.deepEqual(await modeAndLevel(api.admin), ["strict", "info"]);
  });

  test("leaves nobody with the right to write webhook configurations once its Job has run", async () => {
    const { certificate } = newRoot(Date.now());
    const data = { "ca.crt": certificate };
    await api.admin.create("/api/v1/namespaces/tencrypt-ca/configmaps", { metadata: { name: "tencrypt-root" }, data });
    const account = { namespace: "tencrypt-ca", serviceAccount: "tencrypt-trust", audience: issuer };
    const kubeconfig = api.kubeconfigOf(await api.objects.token(account));
    assert.equal((await api.admin.get(binding))["kind"], "ClusterRoleBinding");
    const env = { PATH: process.env["PATH"], KUBECONFIG: kubeconfig, TENCRYPT_HOOK_DEADLINE: "20s" };
    const child = spawn(process.execPath, [hook, "trust"], { env, stdio: ["ignore", "inherit", "inherit"] });
    assert.equal(await new Promise((resolve) => child.on("close", resolve)), 0);
    const { webhooks } = (await api.admin.get(
      "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/tencrypt",
    )) as unknown as { readonly webhooks: readonly { readonly clientConfig: { readonly caBundle?: string } }[] };
    assert.equal(webhooks[0]?.clientConfig.caBundle, Buffer.from(certificate).toString("base64"));
    await assert.rejects(api.admin.get(binding), /404|not found/i);
    await eventually(async () => {
      const user = "--as=system:serviceaccount:tencrypt-ca:tencrypt-trust";
      const answer = api.kubectl("auth", "can-i", "patch", "mutatingwebhookconfigurations/tencrypt", user);
      assert.equal((await answer.catch((error: { readonly stdout: string }) => error.stdout)).trim(), "no");
    });
  });
});
