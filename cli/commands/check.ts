/** `tencrypt check`: looks at the cluster, the control plane and every project; exit status 1 where something fails. */
import { systemClock } from "../../lib/clock/clock.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { listAll } from "../../lib/kube/list.ts";
import { exitCodes } from "../../lib/lifecycle/exit-codes.ts";
import type { Finding } from "../checks/codes.ts";
import type { PodFact } from "../checks/facts.ts";
import { gather, gatherCluster, publishedRoot } from "../checks/gather.ts";
import { judgeCluster, judgeInstallation, judgeOne } from "../checks/judge.ts";
import { withCluster } from "../cluster.ts";
import type { Connection } from "../cluster.ts";
import { projectNamed } from "../project.ts";
import { paint, structured } from "../terminal.ts";
import type { Format, Terminal } from "../terminal.ts";

export type CheckOptions = Connection & {
  readonly output: Format;
  readonly pre?: boolean;
  readonly namespace?: string;
};

export async function check(options: CheckOptions, screen: Terminal): Promise<number> {
  const findings = await withCluster(options, ({ client }) => findingsOf(client, options));
  screen.data(options.output === "table" ? report(findings, screen) : structured(findings, options.output));
  return findings.some(({ level }) => level === "failed") ? exitCodes.failed : exitCodes.done;
}

async function findingsOf(client: KubeClient, { pre = false, namespace }: CheckOptions): Promise<readonly Finding[]> {
  if (namespace !== undefined) {
    const project = await projectNamed(client, namespace);
    const pods = await listAll<PodFact>(client, `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`);
    const now = (await client.serverTime()) ?? systemClock.now();
    return judgeOne(project, pods, { rootPem: await publishedRoot(client), now });
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
