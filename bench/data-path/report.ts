/** Medians, how far the rounds lie apart, and ratios to the rivals. Pure. */
import type { Figures } from "./scenarios.ts";

/** The figures of each round, by contender. */
export type Results = ReadonlyMap<string, readonly Figures[]>;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export type Summary = { readonly median: number; readonly spread: number; readonly values: readonly number[] };

/** `spread` is (highest - lowest) / median. */
export function summarize(values: readonly number[]): Summary {
  const middle = median(values);
  const width = Math.max(...values) - Math.min(...values);
  return { median: middle, spread: middle === 0 ? 0 : width / middle, values };
}

export function summaries(rounds: readonly Figures[]): Readonly<Record<string, Summary>> {
  const names = Object.keys(rounds[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, summarize(rounds.map((round) => round[name] ?? Number.NaN))]));
}

/** Of the first contender to each other one, by medians. */
export function ratios(results: Results): Readonly<Record<string, Readonly<Record<string, number>>>> {
  const [[, own] = [], ...others] = results;
  const mine = summaries(own ?? []);
  return Object.fromEntries(
    others.map(([name, rounds]) => {
      const theirs = summaries(rounds);
      const pairs = Object.keys(mine).map((figure) => [figure, mine[figure]!.median / theirs[figure]!.median] as const);
      return [name, Object.fromEntries(pairs)];
    }),
  );
}

function digits(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (value === 0) return "0";
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
}

/** Lines of one scenario: a row for each contender, then its ratios; a figure is followed by the rounds' spread. */
export function table(results: Results): readonly string[] {
  const columns = Object.keys([...results.values()][0]?.[0] ?? {});
  const rows = [...results].map(([name, rounds]) => [
    name,
    ...Object.values(summaries(rounds)).map(
      ({ median: middle, spread }) =>
        digits(middle) + (rounds.length > 1 && middle !== 0 ? ` ±${Math.round(spread * 50)}%` : ""),
    ),
  ]);
  const first = [...results.keys()][0];
  const compared = Object.entries(ratios(results)).map(([name, by]) => [
    `${first} / ${name}`,
    ...columns.map((column) => digits(by[column]!)),
  ]);
  return aligned([["", ...columns], ...rows, ...compared]);
}

function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  "),
  );
}
