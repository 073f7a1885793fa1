/**
 * The chart, installed with the real helm on an API server without nodes, and two callers: an editor of namespaces, and
 * an owner who may also relax the projects that are made here.
 */
import assert from "node:assert/strict";
import { startApiServer } from "../cluster/api-server.ts";
import type { ApiServer } from "../cluster/api-server.ts";
import { ApiError } from "../cluster/client.ts";
import type { KubernetesClient } from "../cluster/client.ts";
import { issuer } from "../cluster/control-plane.ts";
import { eventually } from "../cluster/eventually.ts";
import { chart, helm, releaseNamespace } from "./helm.ts";

export const enabled = { "tencrypt.io/project": "enabled" };

export const prefixed = (settings: Readonly<Record<string, string | null>>): Readonly<Record<string, string | null>> =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [`tencrypt.io/${name}`, value]));

export const refusal =
  (code: number, message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof ApiError, String(error));
    assert.match(error.message, message);
    assert.equal(error.code, code);
    return true;
  };

const editorRules = [
  {
    apiGroups: [""],
    resources: ["namespaces", "namespaces/status", "namespaces/finalize", "pods", "pods/exec", "serviceaccounts/token"],
    verbs: ["*"],
  },
];

export class InstalledChart {
  readonly api: ApiServer;
  readonly editor: KubernetesClient;
  readonly owner: KubernetesClient;
  #count = 0;

  private constructor(api: ApiServer, editor: KubernetesClient, owner: KubernetesClient) {
    this.api = api;
    this.editor = editor;
    this.owner = owner;
  }

  static async start(): Promise<InstalledChart> {
    const api = await startApiServer();
    try {
      // No pod runs here, so no hook would end.
      const install = ["install", "tencrypt", chart, "-n", releaseNamespace, "--create-namespace", "--no-hooks"];
      const { code, stderr } = await helm(install, api.kubeconfig);
      assert.equal(code, 0, stderr);
      await api.objects.namespace("people");
      const installed = new InstalledChart(api, await someone(api, "editor"), await someone(api, "owner"));
      await installed.#untilPoliciesHold();
      return installed;
    } catch (error) {
      await api.stop();
      throw error;
    }
  }

  stop(): Promise<void> {
    return this.api.stop();
  }

  newName(): string {
    return `project-${++this.#count}`;
  }

  /** A namespace that is a project, in which the owner may relax. */
  async project(annotations: Readonly<Record<string, string | null>> = {}): Promise<string> {
    const name = this.newName();
    await this.api.admin.create("/api/v1/namespaces", { metadata: { name, labels: enabled, annotations } });
    await this.api.admin.create(`/apis/rbac.authorization.k8s.io/v1/namespaces/${name}/rolebindings`, {
      metadata: { name: "relax" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "tencrypt-relax" },
      subjects: [{ kind: "ServiceAccount", namespace: "people", name: "owner" }],
    });
    return name;
  }

  /** The API server learns of policies from a watch. */
  async #untilPoliciesHold(): Promise<void> {
    const path = `/api/v1/namespaces/${await this.project()}?dryRun=All`;
    const removal = { metadata: { labels: { "tencrypt.io/project": null } } };
    await eventually(() => assert.rejects(this.editor.patch(path, removal), refusal(403, /removing the label/)));
  }
}

async function someone(api: ApiServer, name: string): Promise<KubernetesClient> {
  await api.objects.serviceAccount("people", name);
  await api.objects.allow("people", name, editorRules);
  return api.client(await api.objects.token({ namespace: "people", serviceAccount: name, audience: issuer }));
}
