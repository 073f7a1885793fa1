/** What the data-path benchmark may be told. */
import { parseArgs } from "node:util";

export const scenarioNames = [
  "memory",
  "keepalive-1",
  "keepalive-32",
  "connections-default",
  "connections",
  "bulk-down",
  "bulk-up",
  "beside-bulk",
] as const;
export type ScenarioName = (typeof scenarioNames)[number];

export const contenderNames = ["tencrypt", "haproxy-http", "haproxy-tcp", "haproxy-h2", "nginx"] as const;
export type ContenderName = (typeof contenderNames)[number];

/** A further build of our proxy, measured beside the one of this tree. */
export type Variant = { readonly name: string; readonly dist: string };

export type Arguments = {
  readonly scenarios: readonly ScenarioName[];
  readonly contenders: readonly ContenderName[];
  readonly variants: readonly Variant[];
  /** Commits whose proxies are built and measured beside the one of this tree. */
  readonly against: readonly string[];
  /** Shares of connections whose spans are sent to a collector, each measured beside the proxy without tracing. */
  readonly traced: readonly number[];
  readonly rounds: number;
  /** Of load in each measurement. */
  readonly seconds: number;
  readonly megabytes: number;
  readonly json: string;
  /** Where CPU profiles go; null: none are made. */
  readonly profiles: string | null;
};

export const usage = `usage: npm run bench -- data-path [options]
  --only NAME[,NAME]      scenarios whose names start so: ${scenarioNames.join(", ")}
  --contenders NAME[,...] of ${contenderNames.join(", ")} (default: all but haproxy-h2)
  --variant NAME=DIR      also measures the proxy in DIR (what \`node build/main.ts DIR\` made); may be repeated
  --against REV           the same with the proxy of that commit, which is built first; may be repeated
  --traced SHARE[,SHARE]  the proxy of this tree, tracing that share of connections (0 to 1)
  --rounds N              default 3
  --seconds N             of load in each measurement, default 6
  --megabytes N           of each bulk transfer, default 400
  --json PATH             where every figure is written, default dist/data-path.json
  --cpu-prof DIR          our proxies write CPU profiles there; the top functions are shown`;

export class UsageError extends Error {}

function list<T extends string>(text: string | undefined, known: readonly T[]): readonly T[] | null {
  if (text === undefined) return null;
  return text.split(",").flatMap((start) => {
    const found = known.filter((name) => name === start);
    const all = found.length > 0 ? found : known.filter((name) => name.startsWith(start));
    if (all.length === 0) throw new UsageError(`nothing is named ${start}`);
    return all;
  });
}

function positive(text: string | undefined, otherwise: number): number {
  const value = Number(text ?? otherwise);
  if (!(value > 0)) throw new UsageError(`${text} is no positive number`);
  return value;
}

function share(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 1)) throw new UsageError(`--traced ${text}: a share from 0 to 1 is wanted`);
  return value;
}

function variant(text: string): Variant {
  const [name, dist] = text.split("=");
  if (!name || !dist) throw new UsageError(`--variant ${text}: NAME=DIR is wanted`);
  return { name, dist };
}

export function readArguments(args: readonly string[]): Arguments {
  const text = { type: "string" } as const;
  const options = {
    only: text,
    contenders: text,
    variant: { ...text, multiple: true },
    against: { ...text, multiple: true },
    traced: text,
    rounds: text,
    seconds: text,
    megabytes: text,
    json: text,
    "cpu-prof": text,
  } as const;
  const { values } = parseArgs({ args: [...args], options });
  return {
    scenarios: list(values.only, scenarioNames) ?? scenarioNames,
    contenders: list(values.contenders, contenderNames) ?? contenderNames.filter((name) => name !== "haproxy-h2"),
    variants: (values.variant ?? []).map(variant),
    against: values.against ?? [],
    traced: values.traced?.split(",").map(share) ?? [],
    rounds: positive(values.rounds, 3),
    seconds: positive(values.seconds, 6),
    megabytes: positive(values.megabytes, 400),
    json: values.json ?? "dist/data-path.json",
    profiles: values["cpu-prof"] ?? null,
  };
}
