/** `tencrypt status [namespace]`: the pods of projects, protected or not and why, and what their proxies say of themselves. */
import { listAll } from "../../lib/kube/list.ts";
import { projectLabel } from "../../lib/kube/names.ts";
import type { Namespace, Pod } from "../../lib/kube/objects.ts";
import { modes } from "../../lib/project/mode.ts";
import type { Mode } from "../../lib/project/mode.ts";
import { askStatus, forwarder } from "../admin-port.ts";
import type { ProxyStatus, StatusAnswer } from "../admin-port.ts";
import { withCluster } from "../cluster.ts";
import type { Cluster, Connection } from "../cluster.ts";
import { Failure, usageCode } from "../failure.ts";
import { canBeProject, podsOf, projectNamed } from "../project.ts";
import { structured, table } from "../terminal.ts";
import type { Format, Terminal } from "../terminal.ts";
import { podRows } from "../workloads.ts";
import type { PodRow } from "../workloads.ts";

export type StatusOptions = Connection & {
  readonly output: Format;
  readonly allNamespaces?: boolean;
  readonly namespace?: string;
};

export type Row = PodRow & {
  /** The mode in force, as the proxy tells it; null where none answers. */
  readonly mode: Mode | null;
  readonly certificateEnds: string;
};

const atOnce = 8;
/** So many take longer than anybody waits without a word. */
const many = 100;

export async function status(namespace: string | undefined, options: StatusOptions, screen: Terminal): Promise<void> {
  const chosen = choiceOf(namespace, options);
  await withCluster(options, async (cluster) => {
    const rows = await gather(chosen, cluster);
    const asked = rows.filter((row) => row.protected).length;
    if (asked > many) screen.note(`asking ${asked} proxies, ${atOnce} at a time\n`);
    const forward = forwarder(options);
    const answered = await askAll(rows, (row) => askStatus(forward, row.namespace, row.pod));
    tell(answered, options.output, screen);
    if (chosen.kind === "all" && rows.length === 0 && options.output === "table")
      screen.note("next: docs/operations.md, Roll out, says how a namespace becomes a project\n");
  });
}

export function tell(rows: readonly Row[], output: Format, screen: Terminal): void {
  if (output !== "table") return screen.data(structured(rows, output));
  screen.data(table(heads, rows.map(cells), screen.width));
  const bare = rows.filter((row) => !row.protected);
  screen.note(`\n${rows.length - bare.length} of ${rows.length} pods protected\n`);
  if (rows.some((row) => row.protected && row.mode === null))
    screen.note("≥: the proxy did not say; what pod and namespace demand at least\n");
  const [reason] = (bare.find(({ exempt }) => !exempt) ?? bare[0])?.why.split(":") ?? [];
  if (reason !== undefined) screen.note(`next: tencrypt explain ${reason}, or tencrypt check\n`);
}

const heads = ["NAMESPACE", "WORKLOAD", "POD", "PROTECTED", "MODE", "VERSION", "CERTIFICATE ENDS"];
const cells = (row: Row): readonly string[] => [
  row.namespace,
  row.workload,
  row.pod,
  row.protected ? "yes" : `no: ${row.why}`,
  modeOf(row),
  row.version === "" ? "-" : row.version,
  row.certificateEnds === "" ? "-" : row.certificateEnds,
];

type Choice = { readonly kind: "all" } | { readonly kind: "one"; readonly name: string | undefined };

/** kubectl would take one of several without a word. */
function choiceOf(argument: string | undefined, { allNamespaces = false, namespace }: StatusOptions): Choice {
  const named = [...new Set([argument, namespace].filter((name) => name !== undefined))];
  const chosen = [...(allNamespaces ? ["-A"] : []), ...named];
  if (chosen.length > 1)
    throw new Failure(`only one of ${chosen.join(" and ")} can be shown`, "tencrypt status NAMESPACE", usageCode);
  return allNamespaces ? { kind: "all" } : { kind: "one", name: named[0] };
}

async function gather(choice: Choice, { client, namespace }: Cluster): Promise<readonly PodRow[]> {
  if (choice.kind === "all") {
    const labelled = await listAll<Namespace>(client, "/api/v1/namespaces", `${projectLabel}=enabled`);
    const projects = labelled.filter(canBeProject);
    return podRows(projects, await podsOf(client, projects));
  }
  const name = choice.name ?? namespace;
  const project = await projectNamed(client, name);
  return podRows([project], await listAll<Pod>(client, `/api/v1/namespaces/${name}/pods`));
}

type Ask = (row: PodRow) => Promise<StatusAnswer>;

/** Some at a time, whoever takes long. */
export async function askAll(rows: readonly PodRow[], ask: Ask): Promise<readonly Row[]> {
  const done: Row[] = [];
  const left = rows.entries();
  const askInTurn = async (): Promise<void> => {
    for (const [at, row] of left) done[at] = told(row, row.protected ? await ask(row) : { kind: "not-asked" });
  };
  await Promise.all(Array.from({ length: atOnce }, askInTurn));
  return done;
}

/** What is in force only the proxy knows: what the objects say is not yet, or no longer, what it decides by. */
export function told(row: PodRow, answer: StatusAnswer | { readonly kind: "not-asked" }): Row {
  switch (answer.kind) {
    case "not-asked":
      return { ...row, mode: null, certificateEnds: "" };
    case "no-answer":
      return { ...row, mode: null, certificateEnds: `unknown: ${answer.why}` };
    case "status": {
      const mode = modes.find((known) => known === answer.status.mode) ?? null;
      return { ...row, mode, certificateEnds: endOf(answer.status) };
    }
  }
}

const isoDate = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z$/;

/** Whatever else a pod writes there could be commands to the terminal, or rows of other pods. */
function endOf({ certificate }: ProxyStatus): string {
  if (certificate === undefined || certificate === null) return "none yet";
  const { notAfter } = certificate as { readonly notAfter?: unknown };
  const isDate = typeof notAfter === "string" && isoDate.test(notAfter) && !Number.isNaN(Date.parse(notAfter));
  return isDate ? notAfter : "unknown: what the proxy told is no date";
}

function modeOf({ mode, modeAtLeast }: Row): string {
  if (mode !== null) return mode;
  return modeAtLeast === null ? "-" : `≥ ${modeAtLeast}`;
}
