/**
 * The hooks as programs against a real API server, each with the rights that the chart gives its service account and no
 * others.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { whyNoApiServer } from "../cluster/api-server.ts";
import { eventually } from "../cluster/eventually.ts";
import { protectedSpec } from "../cluster/protected-pod.ts";
import { InstalledChart } from "./installed.ts";
import { kubeconfigOfAccount } from "./rights.ts";

const why = whyNoApiServer();
const program = join(import.meta.dirname, "../../hook/main.ts");
const rootPath = "/api/v1/namespaces/tencrypt-ca/configmaps";
const certificate = (body: string): string => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;

type Run = { readonly code: number | null; readonly lines: readonly string[] };

describe("a hook of the chart", why === null ? {} : { skip: why }, () => {
  let chart: InstalledChart;

  const start = (
    argument: string,
    kubeconfig: string,
    deadline = "20s",
  ): { readonly ended: Promise<Run>; readonly lines: string[] } => {
    const env = { PATH: process.env["PATH"], KUBECONFIG: kubeconfig, TENCRYPT_HOOK_DEADLINE: deadline };
    const child = spawn(process.execPath, [program, argument], { env, stdio: ["ignore", "pipe", "inherit"] });
    const lines: string[] = [];
    child.stdout.setEncoding("utf8").on("data", (text: string) => lines.push(...text.trimEnd().split("\n")));
    return { lines, ended: new Promise((resolve) => child.on("close", (code) => resolve({ code, lines }))) };
  };

  const bundles = async (kind: string): Promise<readonly (string | undefined)[]> => {
    const path = `/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations/tencrypt`;
    const { webhooks } = (await chart.api.admin.get(path)) as unknown as {
      readonly webhooks: readonly { readonly clientConfig: { readonly caBundle?: string } }[];
    };
    return webhooks.map(({ clientConfig }) => clientConfig.caBundle);
  };

  before(async () => {
    chart = await InstalledChart.start();
  });
  after(() => chart?.stop());

  /** With its rights made anew, as Helm does before each run: the one before gave them up. */
  const trusted = (): Promise<string> => kubeconfigOfAccount(chart.api, "tencrypt-trust", "tencrypt-ca");

  test("trust waits for the root, sets it everywhere, sees that it is there, and follows a new one", async () => {
    const first = start("trust", await trusted());
    await eventually(async () =>
      assert.match(first.lines.join("\n"), /"waiting","why":".*configmaps \\"tencrypt-root\\" not found/),
    );
    await chart.api.admin.create(rootPath, { metadata: { name: "tencrypt-root" }, data: { "ca.crt": "" } });
    await eventually(async () =>
      assert.match(first.lines.join("\n"), /"why":"ConfigMap tencrypt-root: no certificate"/),
    );
    for (const body of ["MAA=", "MAE="]) {
      const pem = certificate(body);
      await chart.api.admin.patch(`${rootPath}/tencrypt-root`, { data: { "ca.crt": pem } });
      const { code, lines } = await (body === "MAA=" ? first : start("trust", await trusted())).ended;
      assert.equal(code, 0, lines.join("\n"));
      const wanted = Buffer.from(pem).toString("base64");
      assert.deepEqual([...(await bundles("mutating")), ...(await bundles("validating"))], [wanted, wanted, wanted]);
    }
    const { code, lines } = await start("trust", await trusted()).ended;
    assert.equal(code, 0);
    assert.equal(lines.filter((line) => line.includes('"trust_was_set"')).length, 2);
    const bindings = await chart.api.kubectl("get", "clusterrolebindings", "-o", "name");
    assert.doesNotMatch(bindings, /tencrypt-trust/, "its last act");
  });

  test("trust may change no other configuration, and nothing else", async () => {
    await trusted();
    const may = async (...what: readonly string[]): Promise<string> =>
      (
        await chart.api
          .kubectl("auth", "can-i", ...what, "--as=system:serviceaccount:tencrypt-ca:tencrypt-trust")
          .catch((error: { readonly stdout: string }) => error.stdout)
      ).trim();
    await eventually(async () => assert.equal(await may("patch", "mutatingwebhookconfigurations/tencrypt"), "yes"));
    assert.equal(await may("delete", "clusterrolebindings/tencrypt-trust"), "yes");
    assert.equal(await may("delete", "clusterrolebindings/tencrypt-ca"), "no");
    assert.equal(await may("patch", "mutatingwebhookconfigurations/other"), "no");
    assert.equal(await may("create", "validatingwebhookconfigurations"), "no");
    assert.equal(await may("get", "secrets", "-n", "tencrypt-ca"), "no");
    assert.equal(await may("list", "pods", "-A"), "no");
  });

  test("trust gives up at its deadline, with what it waited for and what to do", async () => {
    const nobody = chart.api.kubeconfigOf("no-token");
    const { code, lines } = await start("trust", nobody, "1s").ended;
    assert.equal(code, 1);
    assert.match(
      lines.at(-1) ?? "",
      /"gave_up","why":".*401 Unauthorized.*","hint":"kubectl -n tencrypt-ca get pods,events/,
    );
  });

  test("uninstall names the projects whose pods have a proxy", async () => {
    const kubeconfig = await kubeconfigOfAccount(chart.api, "tencrypt-uninstall", "tencrypt-system");
    const none = await start("uninstall", kubeconfig).ended;
    assert.deepEqual(none, { code: 0, lines: ["No pod has a proxy of Tencrypt: nothing loses its connections."] });
    await chart.api.objects.pod({ namespace: "people", name: "web-1", spec: protectedSpec() });
    await chart.api.objects.pod({ namespace: "people", name: "web-2", spec: protectedSpec() });
    await chart.api.objects.podStatus("people", "web-2", { phase: "Succeeded" });
    await chart.api.objects.pod({ namespace: "people", name: "plain" });
    const { code, lines } = await start("uninstall", kubeconfig).ended;
    assert.equal(code, 0);
    assert.match(lines.join("\n"), /^WARNING: 1 running pod in 1 project still had a proxy of Tencrypt \(people 1\)/);
  });

  test("uninstall never stands in the way", async () => {
    const { code, lines } = await start("uninstall", chart.api.kubeconfigOf("no-token")).ended;
    assert.equal(code, 0);
    assert.match(lines.join("\n"), /^WARNING: whether pods still have a proxy of Tencrypt is not known: .*401/);
  });

  test("without one of the three names it does nothing", async () => {
    const { code, lines } = await start("install", chart.api.kubeconfig).ended;
    assert.equal(code, 64);
    assert.match(lines.join("\n"), /the argument is none of trust, uninstall, test/);
  });
});
