/**
 * What a person or a program sees: data on stdout, everything else on stderr. Tables fit the terminal; colour never
 * carries meaning alone, and is off where nobody looks.
 */
import { stringify } from "yaml";

export type Format = "table" | "json" | "yaml";

export type Terminal = {
  /** Data, on stdout. */
  data(text: string): void;
  /** Progress and hints, on stderr. */
  note(text: string): void;
  readonly width: number;
  readonly color: boolean;
};

export const wantsColor = (noColor: string | undefined, args: readonly string[]): boolean =>
  (noColor ?? "") === "" && !args.includes("--no-color");

export function terminal(streams: {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly color: boolean;
}): Terminal {
  const { stdout, stderr, color } = streams;
  return {
    data: (text) => void stdout.write(text),
    note: (text) => void stderr.write(text),
    width: stdout.columns ?? Infinity,
    color: color && stdout.isTTY,
  };
}

const codes = { good: 32, bad: 31, warning: 33, faint: 2 } as const;

export const paint = ({ color }: Pick<Terminal, "color">, how: keyof typeof codes, text: string): string =>
  color ? `\u001b[${codes[how]}m${text}\u001b[0m` : text;

/** Columns as wide as they need to be; the last is cut where the terminal ends. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], width = Infinity): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]): string => {
    const padded = cells.map((cell, column) => (column === cells.length - 1 ? cell : cell.padEnd(widths[column]!)));
    const text = padded.join("  ").trimEnd();
    return text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text;
  };
  return `${[head, ...rows].map(line).join("\n")}\n`;
}

/** The same data for programs: stable field names, nothing added for the eye. Many read YAML by version 1.1. */
export const structured = (value: unknown, format: "json" | "yaml"): string =>
  format === "json" ? `${JSON.stringify(value, null, 2)}\n` : stringify(value, { lineWidth: 0, compat: "yaml-1.1" });
