/** `tencrypt version`: of this command, and of the control plane where there is one. */
import { control } from "../../lib/kube/names.ts";
import { version as ownVersion } from "../../lib/version.ts";
import type { Deployment } from "../checks/facts.ts";
import { versionOf } from "../checks/deployed.ts";
import { withCluster } from "../cluster.ts";
import type { Connection } from "../cluster.ts";
import { structured } from "../terminal.ts";
import type { Format, Terminal } from "../terminal.ts";

export type VersionOptions = Connection & { readonly output: Format; readonly client?: boolean };

export async function version(options: VersionOptions, screen: Terminal): Promise<void> {
  const isAsked = options.client !== true;
  if (options.output !== "table") {
    const controlPlane = isAsked ? await installed(options) : null;
    return screen.data(structured({ client: ownVersion, controlPlane }, options.output));
  }
  // Before the cluster is asked, which may be away.
  screen.data(`client: ${ownVersion}\n`);
  if (isAsked) screen.data(`control plane: ${(await installed(options)) ?? "not installed"}\n`);
}

const installed = (options: Connection): Promise<string | null> =>
  withCluster(options, async ({ client }) => {
    const path = `/apis/apps/v1/namespaces/${control.controller.namespace}/deployments/tencrypt-controller`;
    const deployment = await client.find<Deployment>(path);
    return deployment === null ? null : versionOf(deployment);
  });
