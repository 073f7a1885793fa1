/**
 * `npm run demo`: two projects on one bridge, with the real init, CA and proxies. Everything that is shown is measured.
 *
 *     npm run demo                         runs, cleans up, exit code 0 if every check passed, 1 if one failed
 *     npm run demo -- --keep               leaves it running until Ctrl-C and says how to look inside
 *     npm run demo -- --no-color           (NO_COLOR is honoured as well)
 *
 * Exit code 64 for an unknown option, 77 where it cannot run: it needs root on Linux, but touches no network of the
 * machine: all of it happens in network namespaces of its own.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { parseArgs } from "node:util";
import type { Cluster } from "../test/topology/cluster.ts";
import { checkWholeRun, showEncrypted } from "./encrypted.ts";
import type { Wire } from "./encrypted.ts";
import { showKilledProxy, showRenewal, startTraffic } from "./faults.ts";
import { showInside } from "./inside.ts";
import { showRefused } from "./refused.ts";
import { Report } from "./report.ts";
import { Screen, terminalOptions } from "./screen.ts";
import { setStage } from "./stage.ts";
import type { Stage } from "./stage.ts";
import { showTrace } from "./trace.ts";

const exitCodes = { passed: 0, failed: 1, usage: 64, internal: 70, notPossible: 77 } as const;
const usage = "usage: npm run demo -- [--keep] [--no-color]";

function options(): { keep: boolean; noColour: boolean } {
  const flag = { type: "boolean", default: false } as const;
  try {
    const { values } = parseArgs({ options: { keep: flag, "no-color": flag, help: flag } });
    if (values.help) {
      console.log(usage);
      process.exit(exitCodes.passed);
    }
    return { keep: values.keep, noColour: values["no-color"] };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    process.exit(exitCodes.usage);
  }
}

async function perform(report: Report, stage: Stage): Promise<void> {
  const wire: Wire = { bridge: await stage.cluster.capture(), canary: randomBytes(16).toString("hex") };
  await showEncrypted(report, stage, wire);
  await startTraffic(stage, wire);
  await showRefused(report, stage);
  await showRenewal(report, stage);
  await showTrace(report, stage, wire);
  await showKilledProxy(report, stage, wire);
  await checkWholeRun(report, wire);
}

/** In place of the handler that every cluster brings: here Ctrl-C is the ordinary end and not an abort. */
async function untilInterrupted(): Promise<void> {
  process.removeAllListeners("SIGINT");
  await once(process, "SIGINT");
  process.once("SIGINT", () => process.exit(exitCodes.failed));
}

async function main(): Promise<number> {
  const { keep, noColour } = options();
  if (process.platform !== "linux" || process.getuid?.() !== 0) {
    console.error(
      "The demo needs root on Linux: it makes network namespaces and iptables rules (in those only).\nnext: sudo npm run demo",
    );
    return exitCodes.notPossible;
  }
  const screen = new Screen(terminalOptions({ noColour }));
  const report = new Report(screen);
  screen.text(2, "Tencrypt demo", "bold");
  screen.text(2, "two projects and an attacker on one bridge; network namespaces, real iptables", "dim");
  screen.line();
  const clusters: Cluster[] = [];
  try {
    const stage = await setStage(report, (cluster) => clusters.push(cluster));
    if (stage !== null) await perform(report, stage);
    if (stage !== null && keep) await showInside(screen, stage);
    report.finish(keep ? "it keeps running; Ctrl-C ends it and cleans up" : "look inside: npm run demo -- --keep");
    if (stage !== null && keep) await untilInterrupted();
  } finally {
    await Promise.all(clusters.map((cluster) => cluster.close()));
  }
  return report.failed === 0 ? exitCodes.passed : exitCodes.failed;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error);
  process.exitCode = exitCodes.internal;
}
