/**
 * hook: what Helm starts as Jobs beside the chart, named by the only argument. `trust` tells the API server our root,
 * `uninstall` warns, `test` looks at the control plane from inside. Exit codes: 0 done; 1 not done in time, or a check
 * failed; 64 the settings or the argument are wrong; 70 internal.
 */
import { stayAlive, systemClock } from "../lib/clock/clock.ts";
import { AccessError, loadAccess } from "../lib/kube/access.ts";
import { KubeClient } from "../lib/kube/client.ts";
import { countProtected } from "../lib/kube/protected-pods.ts";
import { exitCodes } from "../lib/lifecycle/exit-codes.ts";
import { failureOf, warnOfUnread } from "../lib/lifecycle/program.ts";
import { createLog } from "../lib/log/log.ts";
import type { Log } from "../lib/log/log.ts";
import { readConfig } from "./config.ts";
import { inspect } from "./inspection.ts";
import { setTrust } from "./trust.ts";
import { farewell } from "./uninstall.ts";

const write = (text: string): void => void process.stdout.write(text);
const log: Log = createLog({ level: "info", now: systemClock.now, write });

/** For people: Helm prints what a test wrote. */
async function test(client: KubeClient): Promise<number> {
  const findings = await inspect(client);
  for (const { what, problem } of findings) write(problem === null ? `  ✓ ${what}\n` : `  ✗ ${what}: ${problem}\n`);
  return findings.every(({ problem }) => problem === null) ? exitCodes.done : exitCodes.failed;
}

/** A warning that cannot be given must not keep anybody from uninstalling. */
async function uninstall(client: KubeClient): Promise<number> {
  try {
    write(farewell(await countProtected(client)));
  } catch (error) {
    write(`WARNING: whether pods still have a proxy of Tencrypt is not known: ${(error as Error).message}\n`);
  }
  return exitCodes.done;
}

async function run(args: readonly string[]): Promise<number> {
  const [name = ""] = args;
  if (args.length !== 1 || !["trust", "uninstall", "test"].includes(name)) {
    log("error", "bad_configuration", { problems: ["the argument is none of trust, uninstall, test"] });
    return exitCodes.badConfiguration;
  }
  const config = readConfig(process.env);
  warnOfUnread(log, config.unread);
  const client = new KubeClient(loadAccess({}), systemClock);
  const alive = stayAlive();
  try {
    if (name === "test") return await test(client);
    if (name === "uninstall") return await uninstall(client);
    const isDone = await setTrust({ client, clock: systemClock, log }, config.deadline);
    return isDone ? exitCodes.done : exitCodes.failed;
  } finally {
    alive.cancel();
    client.close();
  }
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  const { event, fields, code } = failureOf(error, [AccessError]);
  log("error", event, fields);
  process.exitCode = code;
}
