/** `tencrypt status [namespace]`: the pods of projects, protected or not and why. */
import { listAll } from "../../lib/kube/list.ts";
import { projectLabel } from "../../lib/kube/names.ts";
import type { Namespace, Pod } from "../../lib/kube/objects.ts";
import { askStatus, forwarder } from "../admin-port.ts";
import type { StatusAnswer } from "../admin-port.ts";
import { withCluster } from "../cluster.ts";
import type { Cluster, Connection } from "../cluster.ts";
import { Failure } from "../failure.ts";
import { structured, table } from "../terminal.ts";
import type { Format, Terminal } from "../terminal.ts";
import { podRows } from "../workloads.ts";
import type { PodRow } from "../workloads.ts";

export type StatusOptions = Connection & { readonly output: Format; readonly allNamespaces?: boolean };

export type Row = PodRow & { readonly certificateEnds: string };

const atOnce = 8;

export async function status(namespace: string | undefined, options: StatusOptions, screen: Terminal): Promise<void> {
  await withCluster(options, async (cluster) => {
    const rows = await withCertificates(await gather(namespace, options, cluster), options);
    tell(rows, options.output, screen);
  });
}

export function tell(rows: readonly Row[], output: Format, screen: Terminal): void {
  if (output !== "table") return screen.data(structured(rows, output));
  screen.data(table(heads, rows.map(cells), screen.width));
  const bare = rows.filter((row) => !row.protected).length;
  screen.note(`\n${rows.length - bare} of ${rows.length} pods protected\n`);
  if (bare > 0) screen.note("next: tencrypt explain REASON, or tencrypt check\n");
}

const heads = ["NAMESPACE", "WORKLOAD", "POD", "PROTECTED", "MODE", "VERSION", "CERTIFICATE ENDS"];
const cells = (row: Row): readonly string[] => [
  row.namespace,
  row.workload,
  row.pod,
  row.protected ? "yes" : `no: ${row.why}`,
  row.mode ?? "-",
  row.version === "" ? "-" : row.version,
  row.certificateEnds === "" ? "-" : row.certificateEnds,
];

async function gather(
  namespace: string | undefined,
  { allNamespaces }: StatusOptions,
  cluster: Cluster,
): Promise<readonly PodRow[]> {
  const { client } = cluster;
  const projects = await listAll<Namespace>(client, "/api/v1/namespaces", `${projectLabel}=enabled`);
  if (allNamespaces === true) return podRows(projects, await listAll<Pod>(client, "/api/v1/pods"), "project");
  const wanted = namespace ?? cluster.namespace;
  const project = projects.find(({ metadata }) => metadata.name === wanted);
  if (project === undefined)
    throw new Failure(
      `namespace ${wanted} is no project: it lacks the label ${projectLabel}=enabled`,
      `kubectl label namespace ${wanted} ${projectLabel}=enabled`,
    );
  return podRows([project], await listAll<Pod>(client, `/api/v1/namespaces/${wanted}/pods`), "project");
}

async function withCertificates(rows: readonly PodRow[], options: StatusOptions): Promise<readonly Row[]> {
  const forward = forwarder(options);
  const done: Row[] = [];
  for (let at = 0; at < rows.length; at += atOnce) {
    const some = rows.slice(at, at + atOnce);
    done.push(
      ...(await Promise.all(
        some.map(async (row) => ({
          ...row,
          certificateEnds: row.protected ? endOf(await askStatus(forward, row.namespace, row.pod)) : "",
        })),
      )),
    );
  }
  return done;
}

function endOf(answer: StatusAnswer): string {
  if (answer.kind === "no-answer") return `unknown: ${answer.why}`;
  return answer.status.certificate?.notAfter ?? "none yet";
}
