/** `tencrypt check` of the installed chart: what somebody took away of its admission is found. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Finding } from "../../cli/checks/codes.ts";
import { whyNoApiServer } from "../cluster/api-server.ts";
import { issuer } from "../cluster/control-plane.ts";
import { runWithHelm } from "./helm.ts";
import { InstalledChart } from "./installed.ts";

const why = whyNoApiServer();
const main = join(import.meta.dirname, "../../cli/main.ts");
const group = "/apis/admissionregistration.k8s.io/v1";

describe("tencrypt check", why === null ? {} : { skip: why }, () => {
  let chart: InstalledChart;
  before(async () => {
    chart = await InstalledChart.start();
  });
  after(() => chart.stop());

  const levelOf = async (code: string): Promise<string | undefined> => {
    const { code: status, stdout } = await runWithHelm(
      process.execPath,
      [main, "check", "-o", "json"],
      chart.api.kubeconfig,
    );
    // No pod runs here, so some checks always fail.
    assert.equal(status, 1);
    return (JSON.parse(stdout) as readonly Finding[]).find((finding) => finding.code === code)?.level;
  };

  test("finds the webhooks and policies of the chart, and that somebody emptied or removed them", async () => {
    assert.deepEqual([await levelOf("TC-WH-01"), await levelOf("TC-WH-03")], ["good", "good"]);
    await chart.api.admin.patch(`${group}/validatingwebhookconfigurations/tencrypt`, { webhooks: null });
    assert.equal(await levelOf("TC-WH-01"), "failed");
    await chart.api.admin.delete(`${group}/validatingadmissionpolicybindings/tencrypt-tokens`);
    assert.equal(await levelOf("TC-WH-03"), "failed");
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
