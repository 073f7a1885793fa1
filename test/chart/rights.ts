/** A service account of the chart on an API server where the chart is not installed, with the rights that it renders. */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ApiServer } from "../cluster/api-server.ts";
import { issuer } from "../cluster/control-plane.ts";
import { rendered } from "./rendered.ts";

const kinds = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

/** The path of a kubeconfig of the account. Its namespace, and those of its roles, have to be there. */
export async function kubeconfigOfAccount(api: ApiServer, name: string, namespace: string): Promise<string> {
  const items = rendered("default").filter(({ kind, metadata }) => metadata.name === name && kinds.includes(kind));
  const file = join(dirname(api.kubeconfig), `${name}.json`);
  writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  await api.kubectl("apply", "-f", file);
  return api.kubeconfigOf(await api.objects.token({ namespace, serviceAccount: name, audience: issuer }));
}
