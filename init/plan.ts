/**
 * From what is there and what is wanted to the text for `iptables-restore --noflush`. Pure.
 *
 * A text leads to the same state wherever it starts: a chain of ours that is declared is emptied first, jumps that are
 * there are deleted as they were printed, and chains of ours that are not wanted go. Nothing of others is named.
 */
import { guard, insertJump, jumpAction, newTable, ruleText } from "./ruleset.ts";
import type { Family, Ruleset, Table } from "./ruleset.ts";
import { isGuard, isOwn, ownChains, ownJumps, targetOf } from "./saved.ts";
import type { Saved, SavedTable } from "./saved.ts";

const emptyTable: SavedTable = { chains: new Map(), rules: [] };

/** `-A` to `-D`: iptables finds the rule by what it printed. */
const deletion = (rule: string): string => rule.replace(/^-A /, "-D ");

/** Exactly one guard, in front of everything, whatever an earlier run left. */
export function guardText(saved: Saved, family: Family): string {
  const { name, chains, rules, jumps } = guard(family);
  const table = saved.get(name);
  const before = table ?? emptyTable;
  return section(name, [
    ...chains.map(declare),
    ...(table === undefined ? [declare(newTable)] : []),
    ...ownJumps(before)
      .filter((rule) => isGuard(targetOf(rule)))
      .map(deletion),
    ...rules.map(ruleText),
    ...jumps.map((jump) => insertJump(jump, 1)),
  ]);
}

/** For the state that `guardText` made. */
export function guardRemovalText(family: Family): string {
  const { name, chains, jumps } = guard(family);
  return section(name, [...jumps.map((jump) => `-D ${jump.from} ${jumpAction(jump)}`), ...chains.flatMap(dissolve)]);
}

/**
 * `saved` was read before the guard was set, which stands now at the head of filter and stays: ours go behind it. Of
 * what was read only tables with something of ours need a thought; what others have is left alone.
 */
export function installText(saved: Saved, wanted: Ruleset): string {
  const others = [...saved].filter(([name]) => !wanted.some((table) => table.name === name));
  return [
    ...wanted.map((table) => section(table.name, install(saved.get(table.name), table))),
    ...others.map(([name, table]) => section(name, clear(table, []))),
  ].join("");
}

function install(saved: SavedTable | undefined, wanted: Table): readonly string[] {
  // The guard made the filter table, if it was missing, and marked it.
  const mark = saved === undefined && wanted.name !== "filter";
  const behind = wanted.name === "filter" ? 2 : 1;
  return [
    ...wanted.chains.map(declare),
    ...(mark ? [declare(newTable)] : []),
    ...clear(saved ?? emptyTable, wanted.chains),
    ...wanted.rules.map(ruleText),
    ...wanted.jumps.map((jump) => insertJump(jump, behind)),
  ];
}

/** Takes away jumps and chains of ours but `kept` ones, the guard and the mark. */
function clear(saved: SavedTable, kept: readonly string[]): readonly string[] {
  const stays = (chain: string): boolean => kept.includes(chain) || isGuard(chain) || chain === newTable;
  const leaving = ownChains(saved).filter((chain) => !stays(chain));
  const jumps = ownJumps(saved).filter((rule) => !isGuard(targetOf(rule)));
  return [...jumps.map(deletion), ...dissolveAll(leaving)];
}

export type Removal = {
  /** For `--noflush`: takes away what is ours. */
  readonly text: string;
  /** For a restore without `--noflush`, which deletes the tables named: they were made by us and hold nothing else. */
  readonly tables: string;
};

export function removal(saved: Saved): Removal {
  const tables = [...saved];
  return {
    text: tables.map(([name, table]) => section(name, removeAll(table))).join(""),
    tables: tables
      .filter(([, table]) => isOursAlone(table))
      .map(([name]) => `*${name}\nCOMMIT\n`)
      .join(""),
  };
}

const removeAll = (table: SavedTable): readonly string[] => [
  ...ownJumps(table).map(deletion),
  ...dissolveAll(ownChains(table)),
];

function isOursAlone(table: SavedTable): boolean {
  const jumps = ownJumps(table);
  return (
    table.chains.has(newTable) &&
    [...table.chains].every(([chain, policy]) => isOwn(chain) || policy === "ACCEPT") &&
    table.rules.every((rule) => isOwn(rule.split(" ", 2)[1] ?? "") || jumps.includes(rule))
  );
}

const declare = (chain: string): string => `:${chain} - [0:0]`;
const dissolve = (chain: string): readonly string[] => [`-F ${chain}`, `-X ${chain}`];

/** All are emptied before the first is deleted: they refer to each other. */
const dissolveAll = (chains: readonly string[]): readonly string[] => [
  ...chains.map((chain) => `-F ${chain}`),
  ...chains.map((chain) => `-X ${chain}`),
];

const section = (name: string, lines: readonly string[]): string =>
  lines.length === 0 ? "" : `*${name}\n${lines.join("\n")}\nCOMMIT\n`;
