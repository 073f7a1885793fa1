/**
 * What the chart makes is accepted by a real API server, without an unknown field and without a warning of the Pod
 * Security Standard `restricted`; and what the hook wrote into a webhook configuration survives every kind of upgrade.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { whyNoApiServer } from "../cluster/api-server.ts";
import { cases } from "./cases.ts";
import { chart, helm, releaseNamespace, runWithHelm } from "./helm.ts";
import { InstalledChart } from "./installed.ts";

const why = whyNoApiServer();
const main = join(import.meta.dirname, "../../cli/main.ts");
const golden = join(import.meta.dirname, "../golden/chart");

describe("the chart's objects", why === null ? {} : { skip: why }, () => {
  let installed: InstalledChart;

  before(async () => {
    installed = await InstalledChart.start();
    // Of a hook; a pod is admitted only where its account is.
    await installed.api.objects.serviceAccount(releaseNamespace, "tencrypt-test");
    // That of the ca has it from the chart.
    const restricted = { "pod-security.kubernetes.io/warn": "restricted" };
    await installed.api.admin.patch(`/api/v1/namespaces/${releaseNamespace}`, { metadata: { labels: restricted } });
  });

  after(() => installed.stop());

  // Only OpenShift knows the kinds of the case that is left out.
  for (const name of Object.keys(cases).filter((each) => each !== "openshift")) {
    test(`of case ${name} are accepted`, async () => {
      const how = [
        "--server-side",
        "--force-conflicts",
        "--validate=strict",
        "--warnings-as-errors",
        "--dry-run=server",
      ];
      const shown = await installed.api.kubectl("apply", ...how, "-f", join(golden, `${name}.yaml`));
      assert.match(shown, /deployment\.apps\/tencrypt-controller serverside-applied \(server dry run\)/);
    });
  }

  test("are compared by `tencrypt upgrade --dry-run` with those that an upgrade would make", async () => {
    const dryRun = async (...args: readonly string[]): Promise<string> => {
      const command = [main, "upgrade", "--dry-run", ...args];
      const { code, stdout, stderr } = await runWithHelm(process.execPath, command, installed.api.kubeconfig);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    assert.equal(await dryRun(), "nothing would change\n");
    const text = await dryRun("--set", "mode=strict", "--set", "ca.leafTtl=1h");
    assert.match(
      text,
      /changed: Deployment tencrypt-ca\/tencrypt-ca\n(?: .*\n)+? {2}- +value: 24h\n {2}\+ +value: 1h\n/,
    );
    assert.match(text, /changed: Deployment tencrypt-system\/tencrypt-controller\n(?: .*\n)+? {2}\+ +value: strict\n/);
    assert.match(text, /\n0 added, [1-9][0-9]* changed, 0 removed\n$/);
    assert.equal(await dryRun(), "nothing would change\n", "nothing was changed");
  });

  test("keep the caBundle that the hook wrote, however they are upgraded", async () => {
    const caBundle = Buffer.from("-----BEGIN CERTIFICATE-----\n").toString("base64");
    const path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/tencrypt";
    type Webhooks = readonly {
      readonly timeoutSeconds: number;
      readonly clientConfig: { readonly caBundle?: string };
    }[];
    const read = async (): Promise<Webhooks> => (await installed.api.admin.get(path))["webhooks"] as Webhooks;
    const patch = { webhooks: [{ name: "inject.tencrypt.io", clientConfig: { caBundle } }] };
    const target = ["patch", "mutatingwebhookconfiguration", "tencrypt", "--type=strategic"];
    await installed.api.kubectl(...target, "--field-manager=tencrypt-trust", "-p", JSON.stringify(patch));
    const ways = [[], ["--force-conflicts"], ["--server-side=false"], []];
    for (const [index, way] of ways.entries()) {
      const set = ["--set", `webhook.timeoutSeconds=${6 + index}`];
      const upgrade = ["upgrade", "tencrypt", chart, "-n", releaseNamespace, "--no-hooks", ...set, ...way];
      const { code, stderr } = await helm(upgrade, installed.api.kubeconfig);
      assert.equal(code, 0, stderr);
      const [inject] = await read();
      assert.equal(inject?.timeoutSeconds, 6 + index, "the upgrade had an effect");
      assert.equal(inject.clientConfig.caBundle, caBundle);
    }
    const { code, stderr } = await helm(
      ["rollback", "tencrypt", "1", "-n", releaseNamespace, "--no-hooks"],
      installed.api.kubeconfig,
    );
    assert.equal(code, 0, stderr);
    const [inject] = await read();
    assert.equal(inject?.timeoutSeconds, 5);
    assert.equal(inject.clientConfig.caBundle, caBundle);
  });

  test("are printed for an upgrade to a root that was brought, in the namespace that the chart made", async () => {
    const brought = ["--set", "ca.root.existingSecret=corporate-root"];
    const upgrade = ["upgrade", "tencrypt", chart, "-n", releaseNamespace, "--no-hooks", ...brought];
    assert.equal((await helm(upgrade, installed.api.kubeconfig)).code, 0);
    const printed = await runWithHelm(process.execPath, [main, "upgrade", "--print"], installed.api.kubeconfig);
    assert.equal(printed.code, 0, printed.stderr);
    assert.match(printed.stdout, /corporate-root/);
  });

  test("keep the namespace with the keys when it is to leave the release", async () => {
    const path = "/api/v1/namespaces/tencrypt-ca";
    const leave = [
      "upgrade",
      "tencrypt",
      chart,
      "-n",
      releaseNamespace,
      "--no-hooks",
      "--set",
      "ca.namespace.create=false",
    ];
    const uid = async (): Promise<unknown> => {
      const { metadata } = (await installed.api.admin.get(path)) as {
        readonly metadata: Readonly<Record<string, unknown>>;
      };
      assert.equal(metadata["deletionTimestamp"], undefined);
      return metadata["uid"];
    };
    const kept = await uid();
    const refused = await helm(leave, installed.api.kubeconfig);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /next: kubectl annotate namespace tencrypt-ca helm\.sh\/resource-policy=keep/);
    assert.equal(await uid(), kept);
    await installed.api.kubectl("annotate", "namespace", "tencrypt-ca", "helm.sh/resource-policy=keep");
    const { code, stderr } = await helm(leave, installed.api.kubeconfig);
    assert.equal(code, 0, stderr);
    assert.equal(await uid(), kept);
  });
});
