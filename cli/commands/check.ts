/** `tencrypt check`: looks at the cluster, the control plane and every project; exit status 1 where something fails. */
import { systemClock } from "../../lib/clock/clock.ts";
import { exitCodes } from "../../lib/lifecycle/exit-codes.ts";
import type { Finding } from "../checks/codes.ts";
import { gather } from "../checks/facts.ts";
import { judgeCluster, judgeInstallation } from "../checks/judge.ts";
import { withCluster } from "../cluster.ts";
import type { Connection } from "../cluster.ts";
import { paint, structured } from "../terminal.ts";
import type { Format, Terminal } from "../terminal.ts";

export type CheckOptions = Connection & { readonly output: Format; readonly pre?: boolean };

export async function check(options: CheckOptions, screen: Terminal): Promise<number> {
  const facts = await withCluster(options, ({ client }) => gather(client, systemClock.now()));
  const findings = [...judgeCluster(facts), ...(options.pre === true ? [] : judgeInstallation(facts))];
  screen.data(options.output === "table" ? report(findings, screen) : structured(findings, options.output));
  return findings.some(({ level }) => level === "failed") ? exitCodes.failed : exitCodes.done;
}

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
    lines.push(`${head.padEnd(72)} ${code}`, ...details.map((detail) => `      ${detail}`));
    lines.push(`      next: ${next}`);
  }
  const count = (level: Finding["level"]): number => findings.filter((each) => each.level === level).length;
  return `${lines.join("\n")}\n\n${count("failed")} failed, ${count("warning")} warnings, ${count("good")} passed\n`;
}
