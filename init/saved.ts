/**
 * What iptables-save says, and whether it means what was meant. Pure.
 *
 * Rules are compared by meaning: each is cut into its options, `-m` (which only loads what the options name) is left
 * out, and the options are sorted. The order of rules in a chain does matter and is compared.
 */
import { guardIn, guardOut, jumpAction, newTable, ownPrefix, ruleText } from "./ruleset.ts";
import type { Ruleset, Table } from "./ruleset.ts";

export type SavedTable = {
  /** Name to policy; `-` for a chain that is not the kernel's. */
  readonly chains: ReadonlyMap<string, string>;
  /** As printed: `-A CHAIN ...`, in order. */
  readonly rules: readonly string[];
};
export type Saved = ReadonlyMap<string, SavedTable>;

/** Comments and counters are left out. */
export function parseSaved(text: string): Saved {
  const tables = new Map<string, { chains: Map<string, string>; rules: string[] }>();
  let current: { chains: Map<string, string>; rules: string[] } | undefined;
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) {
      current = { chains: new Map(), rules: [] };
      tables.set(line.slice(1).trim(), current);
    } else if (line.startsWith(":")) {
      const [name, policy] = line.slice(1).split(" ");
      current?.chains.set(name ?? "", policy ?? "");
    } else if (line.startsWith("-A ") || line.startsWith("[")) {
      current?.rules.push(line.replace(/^\[\d+:\d+\] /, "").trim());
    }
  }
  return tables;
}

export const isOwn = (chain: string): boolean => chain.startsWith(ownPrefix);
export const isGuard = (chain: string | null): boolean => chain === guardIn || chain === guardOut;

export const ownChains = (table: SavedTable): readonly string[] => [...table.chains.keys()].filter(isOwn);

const chainOf = (rule: string): string => rule.split(" ", 2)[1] ?? "";
const ownTarget = new RegExp(`\\s-[jg] (${ownPrefix}\\S+)`);

/** The own chain that a rule leads to. */
export const targetOf = (rule: string): string | null => ownTarget.exec(rule)?.[1] ?? null;

/** Rules in chains of others that lead to a chain of ours, as printed. */
export const ownJumps = (table: SavedTable): readonly string[] =>
  table.rules.filter((rule) => !isOwn(chainOf(rule)) && targetOf(rule) !== null);

export const holdsOwn = (saved: Saved): boolean =>
  [...saved.values()].some((table) => ownChains(table).length > 0 || ownJumps(table).length > 0);

/** A word, or a quoted text with its quotes. */
const word = /"(?:[^"\\]|\\.)*"|\S+/g;

/** The options of a rule in a form that is equal if and only if the rules mean the same. */
export function meaning(rule: string): string {
  const options: string[][] = [];
  let negated = false;
  for (const part of rule.match(word) ?? []) {
    if (part === "!") {
      negated = true;
    } else if (part.startsWith("-")) {
      options.push(negated ? ["!", part] : [part]);
      negated = false;
    } else {
      options.at(-1)?.push(part.includes(",") && !part.startsWith('"') ? part.split(",").toSorted().join(",") : part);
    }
  }
  return options
    .filter((option) => option[0] !== "-m")
    .map((option) => option.join(" "))
    .toSorted()
    .join(" ");
}

/**
 * What is not as meant, in words; empty if every table, chain, rule and jump of ours is, and nothing else of ours. The
 * guard stands in front while this is asked, and is overlooked.
 */
export function differences(saved: Saved, wanted: Ruleset): readonly string[] {
  const names = new Set([...saved.keys(), ...wanted.map((table) => table.name)]);
  return [...names].flatMap((name) => {
    const table = saved.get(name) ?? { chains: new Map(), rules: [] };
    return tableDifferences(
      name,
      table,
      wanted.find((candidate) => candidate.name === name),
    );
  });
}

const none: readonly never[] = [];

function tableDifferences(name: string, saved: SavedTable, wanted: Table | undefined): readonly string[] {
  const chains = wanted?.chains ?? none;
  const foreign = ownChains(saved).filter((chain) => ![...chains, newTable].includes(chain) && !isGuard(chain));
  const wrong = chains.filter((chain) => !sameRules(saved, chain, wanted?.rules ?? none));
  const jumps = wanted?.jumps ?? none;
  const strayed = jumpsBehindGuard(saved).filter((rule) => !jumps.some((jump) => isJump(rule, jump)));
  return [
    ...foreign.map((chain) => `${name}: ${chain} was not meant`),
    ...wrong.map((chain) => `${name}: ${chain} is not as it was meant`),
    ...strayed.map((rule) => `${name}: was not meant: ${rule}`),
    ...jumps
      .filter((jump) => !isFirst(saved, jump))
      .map(({ from, to }) => `${name}: ${from} does not begin with ${to}`),
  ];
}

function sameRules(saved: SavedTable, chain: string, rules: Table["rules"]): boolean {
  const found = saved.rules.filter((rule) => chainOf(rule) === chain).map(meaning);
  const meant = rules.filter((rule) => rule.chain === chain).map((rule) => meaning(ruleText(rule)));
  return saved.chains.has(chain) && found.length === meant.length && found.every((rule, at) => rule === meant[at]);
}

type Jump = Table["jumps"][number];

const isJump = (rule: string, jump: Jump): boolean => meaning(rule) === meaning(`-A ${jump.from} ${jumpAction(jump)}`);

const jumpsBehindGuard = (saved: SavedTable): readonly string[] =>
  ownJumps(saved).filter((rule) => !isGuard(targetOf(rule)));

/** Exactly once, and before every rule of others: an ACCEPT in front of it would make it void. */
function isFirst(saved: SavedTable, jump: Jump): boolean {
  const rules = saved.rules.filter((rule) => chainOf(rule) === jump.from && !isGuard(targetOf(rule)));
  return rules.findIndex((rule) => isJump(rule, jump)) === 0 && rules.filter((rule) => isJump(rule, jump)).length === 1;
}
