/**
 * init: writes the pod's rules, proves them, and ends. `--print` shows the rules and changes nothing; `--remove` takes
 * them away; `--probe [HOST:PORT...]` does both, then answers, and calls these. One JSON line an event. Exit codes: 0 done and
 * proven; 64 settings or arguments are wrong; 70 rules not set or not proven, the guard is left; 77 nothing here may or can.
 */
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { stayAlive, systemClock } from "../lib/clock/clock.ts";
import { SettingsError } from "../lib/config/settings.ts";
import { exitCodes } from "../lib/lifecycle/exit-codes.ts";
import { warnOfUnread } from "../lib/lifecycle/program.ts";
import { createLog } from "../lib/log/log.ts";
import type { Log } from "../lib/log/log.ts";
import { install, remove } from "./apply.ts";
import type { Outcome, Pod } from "./apply.ts";
import { proxyPorts, readConfig } from "./config.ts";
import type { Config } from "./config.ts";
import { systemIptables } from "./iptables.ts";
import { answerAndCall, readPeers } from "./probe.ts";
import { neighbourAddresses, prove, reachableAddresses } from "./prove.ts";
import { formatRuleset, ruleset } from "./ruleset.ts";

const codeOf = { done: exitCodes.done, failed: exitCodes.internal, not_possible: exitCodes.notHere } as const;
const modes: readonly string[] = ["--install", "--print", "--remove", "--probe"];

const write = (text: string): void => void process.stdout.write(text);
const log: Log = createLog({ level: "info", now: systemClock.now, write });

/** CAP_NET_ADMIN is bit 12 of the effective set. */
function mayChangeRules(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return ((BigInt(`0x${effective}`) >> 12n) & 1n) === 1n;
}

function print(config: Config): number {
  write(`# IPv4\n${formatRuleset(ruleset(config, "v4"))}# IPv6\n${formatRuleset(ruleset(config, "v6"))}`);
  return exitCodes.done;
}

function thisPod(config: Config, uid: number): Pod {
  const interfaces = networkInterfaces();
  const capturePort = config.captures.find((capture) => capture.uid === uid)?.port ?? config.ports.outbound;
  const taken = proxyPorts(config);
  const dialPort = taken.reduce((port, each) => (port === each ? port + 1 : port), 9);
  return {
    iptables: systemIptables(process.env),
    log,
    isReachable: (family) => reachableAddresses(interfaces, family).length > 0,
    hasNeighbours: (family) => neighbourAddresses(interfaces, family).length > 0,
    prove: (family) =>
      prove({ family, capturePort, dialPort, own: reachableAddresses(interfaces, family) }, systemClock),
  };
}

function report(outcome: Outcome, startedAt: number): number {
  const durationMs = Math.round(systemClock.monotonic() - startedAt);
  if (outcome.kind === "done") {
    log("info", "done", { durationMs });
    return exitCodes.done;
  }
  const hint =
    outcome.kind === "failed"
      ? "the guard may be in place: the pod is cut off until init succeeds or --remove runs"
      : null;
  log("error", "init_failed", { step: outcome.step, why: outcome.why, ...(hint === null ? {} : { hint }) });
  return codeOf[outcome.kind];
}

function usage(problems: readonly string[]): number {
  log("error", "bad_configuration", { problems });
  return exitCodes.badConfiguration;
}

async function run(args: readonly string[]): Promise<number> {
  const [mode = "--install", ...more] = args;
  if ((more.length > 0 && mode !== "--probe") || !modes.includes(mode)) {
    return usage([`arguments are ${JSON.stringify(args.join(" "))}: expected none, --print, --remove or --probe`]);
  }
  const startedAt = systemClock.monotonic();
  if (mode === "--probe") return probe(more);
  if (mode !== "--print" && !mayChangeRules()) {
    return report({ kind: "not_possible", step: "look at capabilities", why: "NET_ADMIN is missing" }, startedAt);
  }
  // Removing needs no settings: it knows our rules by their names.
  if (mode === "--remove") return report(remove({ iptables: systemIptables(process.env), log }), startedAt);
  const { config, unread } = readConfig(process.env);
  warnOfUnread(log, unread);
  if (mode === "--print") return print(config);
  const uid = process.getuid?.() ?? 0;
  if (uid === config.proxyUid)
    return usage([`init runs as uid ${uid}, which is TENCRYPT_PROXY_UID: it could prove nothing`]);
  return report(await install(config, thisPod(config, uid)), startedAt);
}

/** Whether rules can be set and what the network does to sources are two questions: the second is asked in any case. */
async function probe(texts: readonly string[]): Promise<number> {
  const { peers, problems } = readPeers(texts);
  if (problems.length > 0) return usage(problems);
  await run([]);
  const removed = mayChangeRules() ? remove({ iptables: systemIptables(process.env), log }) : null;
  if (removed?.kind === "failed") report(removed, systemClock.monotonic());
  await answerAndCall(peers, systemClock, log);
  return exitCodes.done;
}

// The proof may have nothing but a pause to wait for.
const alive = stayAlive();
try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  process.exitCode =
    error instanceof SettingsError
      ? usage(error.problems)
      : report(
          { kind: "failed", step: "run", why: error instanceof Error ? error.message : String(error) },
          systemClock.monotonic(),
        );
} finally {
  alive.cancel();
}
