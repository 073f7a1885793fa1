/** `tencrypt check` of the installed chart: what somebody took away of its admission is found. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { checkCodes } from "../../cli/checks/codes.ts";
import type { Finding } from "../../cli/checks/codes.ts";
import { newRoot } from "../../ca/issue/authority.ts";
import { whyNoApiServer } from "../cluster/api-server.ts";
import type { Json } from "../cluster/client.ts";
import { issuer } from "../cluster/control-plane.ts";
import { chart as chartFolder, helm, releaseNamespace, runWithHelm } from "./helm.ts";
import { InstalledChart } from "./installed.ts";

const why = whyNoApiServer();
const main = join(import.meta.dirname, "../../cli/main.ts");
const group = "/apis/admissionregistration.k8s.io/v1";

describe("tencrypt check", why === null ? {} : { skip: why }, () => {
  let chart: InstalledChart;
  before(async () => {
    chart = await InstalledChart.start();
  });
  after(() => chart?.stop());

  const findingOf = async (code: string): Promise<Finding | undefined> => {
    const { code: status, stdout } = await runWithHelm(
      process.execPath,
      [main, "check", "-o", "json"],
      chart.api.kubeconfig,
    );
    // No pod runs here, so some checks always fail.
    assert.equal(status, 1);
    return (JSON.parse(stdout) as readonly Finding[]).find((finding) => finding.code === code);
  };
  const levelOf = async (code: string): Promise<string | undefined> => (await findingOf(code))?.level;

  test("tells that the API server does not reach the webhooks, by a pod that it does not keep", async () => {
    const finding = await findingOf("TC-WH-04");
    assert.equal(finding?.level, "failed");
    assert.match(finding.details.join("\n"), /failed calling webhook "inject\.tencrypt\.io"/);
    assert.doesNotMatch(await chart.api.kubectl("get", "pods", "-A", "-o", "name"), /tencrypt-check-/);
  });

  test("finds webhooks and policies that concern nobody any more", async () => {
    const { admin } = chart.api;
    const changes = [
      ["mutatingwebhookconfigurations/tencrypt", ["webhooks", 0, "rules", 0, "resources"], ["configmaps"], "TC-WH-01"],
      [
        "mutatingwebhookconfigurations/tencrypt",
        ["webhooks", 0, "objectSelector"],
        { matchLabels: { a: "b" } },
        "TC-WH-01",
      ],
      ["validatingadmissionpolicies/tencrypt-projects", ["spec", "validations"], [{ expression: "true" }], "TC-WH-03"],
      [
        "validatingadmissionpolicies/tencrypt-pods",
        ["spec", "matchConstraints", "resourceRules", 0, "resources"],
        ["configmaps"],
        "TC-WH-03",
      ],
    ] as const;
    for (const [path, field, value, code] of changes) {
      const patch = (each: unknown): Promise<string> => {
        const operation = [{ op: "add", path: `/${field.join("/")}`, value: each }];
        return chart.api.kubectl("patch", ...path.split("/"), "--type=json", "-p", JSON.stringify(operation));
      };
      const original = field.reduce<unknown>(
        (at, step) => (at as Record<string, unknown>)[String(step)],
        await admin.get(`${group}/${path}`),
      );
      await patch(value);
      assert.equal(await levelOf(code), "failed", `${path} ${field.join(".")}`);
      await patch(original ?? {});
    }
    assert.deepEqual([await levelOf("TC-WH-01"), await levelOf("TC-WH-03")], ["good", "good"]);
  });

  test("tells what restores webhooks and policies that somebody changed: to delete them, and an upgrade", async () => {
    const spoiled = ["mutatingwebhookconfiguration/tencrypt", "validatingadmissionpolicy/tencrypt-projects"];
    const operations = [
      [
        { op: "replace", path: "/webhooks/0/failurePolicy", value: "Ignore" },
        { op: "add", path: "/webhooks/0/objectSelector", value: { matchLabels: { nobody: "has-this" } } },
      ],
      [{ op: "add", path: "/spec/matchConditions/-", value: { name: "never", expression: "false" } }],
    ];
    for (const [index, target] of spoiled.entries())
      await chart.api.kubectl("patch", target, "--type=json", "-p", JSON.stringify(operations[index]));
    for (const code of ["TC-WH-01", "TC-WH-03"] as const) {
      assert.equal(await levelOf(code), "failed");
      const [, arguments_] = /^kubectl (delete [^;]+); tencrypt upgrade;/.exec(checkCodes[code].hint) ?? [];
      assert.ok(arguments_ !== undefined, checkCodes[code].hint);
      await chart.api.kubectl(...arguments_.split(" "));
    }
    const upgrade = ["upgrade", "tencrypt", chartFolder, "-n", releaseNamespace, "--no-hooks"];
    const { code, stderr } = await helm(upgrade, chart.api.kubeconfig);
    assert.equal(code, 0, stderr);
    assert.deepEqual([await levelOf("TC-WH-01"), await levelOf("TC-WH-03")], ["good", "good"]);
  });

  test("finds the webhooks and policies of the chart, and that somebody emptied or removed them", async () => {
    assert.deepEqual([await levelOf("TC-WH-01"), await levelOf("TC-WH-03")], ["good", "good"]);
    await chart.api.admin.patch(`${group}/validatingwebhookconfigurations/tencrypt`, { webhooks: null });
    assert.equal(await levelOf("TC-WH-01"), "failed");
    await chart.api.admin.delete(`${group}/validatingadmissionpolicybindings/tencrypt-tokens`);
    assert.equal(await levelOf("TC-WH-03"), "failed");
  });

  test("tells a root that was lost or exchanged, and ends with a report whatever is published as one", async () => {
    const { admin } = chart.api;
    const folder = "/api/v1/namespaces/tencrypt-ca";
    const { certificate, key } = newRoot(Date.now());
    const publish = (text: string): Json => ({ metadata: { name: "tencrypt-root" }, data: { "ca.crt": text } });
    await admin.create(`${folder}/configmaps`, publish("garbage"));
    assert.equal(await levelOf("TC-CA-01"), "failed");
    await admin.patch(`${folder}/configmaps/tencrypt-root`, publish(certificate));
    assert.equal(await levelOf("TC-CA-05"), "failed");
    const pair = (tlsKey: string): Json => ({
      metadata: { name: "tencrypt-root" },
      type: "kubernetes.io/tls",
      stringData: { "tls.crt": certificate, "tls.key": tlsKey },
    });
    await admin.create(`${folder}/secrets`, pair(newRoot(Date.now()).key));
    assert.equal(await levelOf("TC-CA-05"), "failed");
    await admin.patch(`${folder}/secrets/tencrypt-root`, pair(key));
    assert.equal(await levelOf("TC-CA-05"), "good");
  });

  test("fails for a user who may not see the pods, and says what was not seen", async () => {
    const { objects } = chart.api;
    await objects.serviceAccount("people", "half");
    await objects.allow("people", "half", [{ apiGroups: [""], resources: ["namespaces"], verbs: ["list"] }]);
    const token = await objects.token({ namespace: "people", serviceAccount: "half", audience: issuer });
    const command = [main, "check"];
    const { code, stdout } = await runWithHelm(process.execPath, command, chart.api.kubeconfigOf(token));
    assert.equal(code, 1);
    assert.match(stdout, /✗ [0-9]+ things cannot be read, and nothing is known of them +TC-K8S-05\n/);
    assert.match(stdout, /\n {6}pods: GET \/api\/v1\/pods.*403 Forbidden/);
    assert.doesNotMatch(stdout, /pods protected|rules set and proven/);
  });
});
