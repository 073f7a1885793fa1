/**
 * One JSON line an event, on stdout. Field values are data: whatever a peer sends ends up inside one JSON string, cut
 * at 1 KiB, and a list at 64 of them, so no peer can forge or flood a line. Never hand a key, a token or a header value
 * of an application here.
 */

export type Level = "debug" | "info" | "warn" | "error";
export type Fields = Readonly<Record<string, unknown>>;
export type Log = (level: Level, event: string, fields?: Fields) => void;

const severity: Readonly<Record<Level, number>> = { debug: 0, info: 1, warn: 2, error: 3 };
const longestText = 1024;
const longestList = 64;

const cut = (_key: string, value: unknown): unknown => {
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value) && value.length > longestList)
    return [...value.slice(0, longestList), `… and ${value.length - longestList} more`];
  return typeof value === "string" && value.length > longestText ? `${value.slice(0, longestText)}…` : value;
};

/** JSON leaves these as they are; some readers take them for the end of a line or for a terminal's commands. */
const unsafe = /[\u007f-\u009f\u2028\u2029]/g;
const escape = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** A whole line; `time` is milliseconds since the epoch. */
export function formatLine(time: number, level: Level, event: string, fields?: Fields): string {
  const line = { time: new Date(time).toISOString(), level, event, ...fields };
  return `${JSON.stringify(line, cut).replace(unsafe, escape)}\n`;
}

/** `write` receives whole lines; `now` is milliseconds since the epoch. */
export function createLog(options: { level: Level; now: () => number; write: (line: string) => void }): Log {
  const threshold = severity[options.level];
  return (level, event, fields) => {
    if (severity[level] >= threshold) options.write(formatLine(options.now(), level, event, fields));
  };
}

export const silent: Log = () => {};
