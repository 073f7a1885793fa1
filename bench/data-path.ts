/**
 * `npm run bench -- data-path`: Tencrypt, HAProxy and nginx carry the same load between two pods, alternating, in one
 * run on one machine. CPU time per request and hop is what to compare: it hardly depends on what else the machine does.
 *
 * Needs root (network namespaces), haproxy, nginx and wrk. Everything that it starts and makes is removed at its end.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Cluster } from "../test/topology/cluster.ts";
import { needsRoot } from "../test/topology/cluster.ts";
import { readArguments, usage, UsageError } from "./data-path/arguments.ts";
import type { Arguments, ScenarioName } from "./data-path/arguments.ts";
import { sides, startContenders } from "./data-path/contenders.ts";
import type { Contender } from "./data-path/contenders.ts";
import { topFunctions } from "./data-path/cpu-profile.ts";
import { writeScript } from "./data-path/load.ts";
import { ratios, summaries, table } from "./data-path/report.ts";
import type { Results } from "./data-path/report.ts";
import { memoryNow, restMs, scenarios } from "./data-path/scenarios.ts";
import type { Figures, Setting } from "./data-path/scenarios.ts";

const exitCodes = { usage: 64, notPossible: 77 } as const;

function argumentsOrExit(): Arguments {
  try {
    return readArguments(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof TypeError)) throw error;
    console.error(`${error.message}\n${usage}`);
    process.exit(exitCodes.usage);
  }
}

/** Null where all is there. */
function missing({ contenders }: Arguments): string | null {
  if (needsRoot !== false) return needsRoot;
  const wanted = ["nginx", "wrk", ...(contenders.some((name) => name.startsWith("haproxy")) ? ["haproxy"] : [])];
  const absent = wanted.filter((name) => spawnSync("sh", ["-c", `command -v ${name}`]).status !== 0);
  if (absent.length === 0) return null;
  return `not installed: ${absent.join(", ")}. On Debian: apt-get install -y haproxy nginx-light wrk`;
}

type Noise = { readonly at: string; readonly load: number };

async function measure(
  name: ScenarioName,
  contenders: readonly Contender[],
  setting: Setting,
): Promise<{ results: Results; noise: readonly Noise[] }> {
  const { run, repeated } = scenarios[name];
  const results = new Map<string, Figures[]>(contenders.map((contender) => [contender.name, []]));
  const noise: Noise[] = [];
  for (let round = 0; round < (repeated ? setting.args.rounds : 1); round++) {
    for (const contender of contenders) {
      results.get(contender.name)!.push(await run(contender, setting));
      noise.push({ at: `${name} ${round + 1} ${contender.name}`, load: loadavg()[0]! });
    }
  }
  return { results, noise };
}

function show(title: string, results: Results): void {
  console.log(`\n${title}`);
  for (const line of table(results)) console.log(`  ${line}`);
}

async function showProfiles(contenders: readonly Contender[], from: string, to: string): Promise<void> {
  mkdirSync(to, { recursive: true });
  const ours = contenders.filter(({ isOurs }) => isOurs);
  for (const { name, pods, proxies } of ours) {
    for (const side of sides) {
      await proxies[side].stop("SIGTERM");
      const file = join(to, `${pods[side].name}.cpuprofile`);
      copyFileSync(join(from, `${pods[side].name}.cpuprofile`), file);
      console.log(`\n${name}, ${side === "client" ? "outbound" : "inbound"} hop: ${file}`);
      for (const line of topFunctions(file, 25)) console.log(`  ${line}`);
    }
  }
}

async function main(args: Arguments, started: (cluster: Cluster) => void): Promise<void> {
  const [cpu] = cpus();
  const machine = { cpu: cpu?.model ?? "", cores: cpus().length, node: process.version, loadAtStart: loadavg()[0]! };
  console.log(
    `${machine.cores} x ${machine.cpu}, Node ${machine.node}, load average ${machine.loadAtStart.toFixed(1)}`,
  );
  let cluster: Cluster | null = null;
  const contenders = await startContenders(args, (made) => started((cluster = made)));
  const setting = { args, script: writeScript(cluster!) };
  const report: Record<string, unknown> = {};
  const noise: Noise[] = [];
  const keep = (name: string, title: string, results: Results): void => {
    show(`${name}: ${title}`, results);
    report[name] = {
      what: title,
      contenders: Object.fromEntries([...results].map(([each, rounds]) => [each, summaries(rounds)])),
      ratios: ratios(results),
    };
  };
  for (const name of args.scenarios) {
    const measured = await measure(name, contenders, setting);
    noise.push(...measured.noise);
    keep(name, scenarios[name].what, measured.results);
  }
  const memory = (): Results => new Map(contenders.map((contender) => [contender.name, [memoryNow(contender)]]));
  keep("memory-loaded", "memory after all of this load", memory());
  if (args.scenarios.includes("memory")) {
    await sleep(restMs);
    keep("memory-rested", "memory after a rest", memory());
  }
  const loads = noise.map(({ load }) => load);
  console.log(
    `\nload average ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)} on ${machine.cores} cores`,
  );
  mkdirSync(dirname(args.json), { recursive: true });
  writeFileSync(args.json, `${JSON.stringify({ machine, args, scenarios: report, noise }, null, 1)}\n`);
  console.log(`every figure: ${args.json}`);
  if (args.profiles !== null) await showProfiles(contenders, join(cluster!.folder, "profiles"), args.profiles);
}

const args = argumentsOrExit();
const reason = missing(args);
if (reason !== null) {
  console.error(reason);
  process.exit(exitCodes.notPossible);
}
let cluster: Cluster | null = null;
try {
  await main(args, (made) => (cluster = made));
} finally {
  await (cluster as Cluster | null)?.close();
}
