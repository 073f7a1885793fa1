/** `tencrypt check`: looks at the cluster, the control plane and every project; exit status 1 where something fails. */
import { systemClock } from "../../lib/clock/clock.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { listAll } from "../../lib/kube/list.ts";
import { exitCodes } from "../../lib/lifecycle/exit-codes.ts";
import type { Finding } from "../checks/codes.ts";
import type { PodFact } from "../checks/facts.ts";
import { gather, gatherCluster, publishedRoot } from "../checks/gather.ts";
import { judgeCluster, judgeInstallation, judgeOne } from "../checks/judge.ts";
import { judgeProbe } from "../checks/judge-probe.ts";
import { initLogs, mostNodes } from "../checks/nodes.ts";
import { probe } from "../checks/probe.ts";
import type { ProbeImage } from "../checks/probe-objects.ts";
import { initImageOf } from "../chart.ts";
import type { ChartOptions } from "../chart.ts";
import { withCluster } from "../cluster.ts";
import type { Connection } from "../cluster.ts";
import { confirmed } from "../confirmed.ts";
import { Failure, usageCode } from "../failure.ts";
import { projectNamed } from "../project.ts";
import { paint, structured } from "../terminal.ts";
import type { Format, Terminal } from "../terminal.ts";

export type CheckOptions = Connection &
  ChartOptions & {
    readonly output: Format;
    readonly pre?: boolean;
    readonly probe?: boolean;
    readonly image?: string;
    readonly yes?: boolean;
    readonly namespace?: string;
  };

/** They mean nothing without it. */
const ofProbe = ["image", "chart", "values", "set", "yes"] as const;

export async function check(options: CheckOptions, screen: Terminal): Promise<number> {
  const unused = ofProbe.filter((name) => options.probe !== true && options[name] !== undefined);
  if (unused.length > 0)
    throw new Failure(`--${unused.join(", --")} without --probe`, "tencrypt check --pre --probe", usageCode);
  const image = options.probe === true ? await imageOf(options) : null;
  const findings = await withCluster(options, ({ client }) =>
    image === null ? findingsOf(client, options) : probed(client, { image, options, screen }),
  );
  screen.data(options.output === "table" ? report(findings, screen) : structured(findings, options.output));
  if (options.pre === true && image === null)
    screen.note(
      "not looked at: iptables of nodes, sources of pods, the way from the API server to pods; --probe tries them\n",
    );
  return findings.some(({ level }) => level === "failed") ? exitCodes.failed : exitCodes.done;
}

const imageOf = async (options: CheckOptions): Promise<ProbeImage> =>
  options.image === undefined ? initImageOf(options) : { image: options.image, pullPolicy: "IfNotPresent" };

type Asked = { readonly image: ProbeImage; readonly options: CheckOptions; readonly screen: Terminal };

/** What can be seen without a change comes first: of a cluster that cannot be read nothing is tried. */
async function probed(client: KubeClient, { image, options, screen }: Asked): Promise<readonly Finding[]> {
  const cluster = judgeCluster(await gatherCluster(client, systemClock), true);
  screen.note(
    `This makes a namespace in the cluster ${client.server}, runs a pod of ${image.image} with NET_ADMIN on each node\n` +
      `(${mostNodes} at most), and removes the namespace again.\n`,
  );
  if (options.yes !== true && !(await confirmed(process.stdin, process.stderr, "Do it?")))
    throw new Failure("nothing was tried", "tencrypt check --pre --probe --yes");
  const facts = await probe({ client, clock: systemClock, image, note: (text) => screen.note(text) });
  return [...cluster, ...judgeProbe(facts)];
}

async function findingsOf(client: KubeClient, { pre = false, namespace }: CheckOptions): Promise<readonly Finding[]> {
  if (namespace !== undefined) {
    const project = await projectNamed(client, namespace);
    const pods = await listAll<PodFact>(client, `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`);
    const now = (await client.serverTime()) ?? systemClock.now();
    const rootPem = await publishedRoot(client);
    return judgeOne(project, pods, { rootPem, now, inits: await initLogs(client, pods) });
  }
  if (pre) return judgeCluster(await gatherCluster(client, systemClock), pre);
  const facts = await gather(client, systemClock);
  return [...judgeCluster(facts), ...judgeInstallation(facts)];
}

const mostDetails = 10;

const shown = (details: readonly string[]): readonly string[] =>
  details.length > mostDetails
    ? [...details.slice(0, mostDetails), `and ${details.length - mostDetails} more`]
    : details;

const signs = { good: "✓", warning: "!", failed: "✗" } as const;
const colors = { good: "good", warning: "warning", failed: "bad" } as const;

export function report(findings: readonly Finding[], screen: Pick<Terminal, "color">): string {
  const lines: string[] = [];
  for (const [index, { section, level, code, text, details, next }] of findings.entries()) {
    if (section !== findings[index - 1]?.section) lines.push(section);
    const head = `  ${paint(screen, colors[level], signs[level])} ${text}`;
    if (level === "good") {
      lines.push(head);
      continue;
    }
    lines.push(`${head.padEnd(72)} ${code}`, ...shown(details).map((detail) => `      ${detail}`));
    lines.push(`      next: ${next}`);
  }
  const count = (level: Finding["level"]): number => findings.filter((each) => each.level === level).length;
  return `${lines.join("\n")}\n\n${count("failed")} failed, ${count("warning")} warnings, ${count("good")} passed\n`;
}
