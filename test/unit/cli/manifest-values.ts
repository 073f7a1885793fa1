/** Plain scalars, and what kubectl reads them as; a test asks kubectl itself. */
export const plainValues: readonly (readonly [text: string, read: unknown])[] = [
  ...["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True"].map((text) => [text, true] as const),
  ...["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "FALSE"].map((text) => [text, false] as const),
  ...["~", "null", "Null", "NULL"].map((text) => [text, null] as const),
  ["0400", 256],
  ["-0400", -256],
  ["0o400", 256],
  ["0O17", 15],
  ["0_7", 7],
  ["08", 8],
  ["09_1", 91],
  ["00", 0],
  ["0b11", 3],
  ["-0B11", -3],
  ["0x1F", 31],
  ["+0X1F", 31],
  ["0x_1", 1],
  ["1_000", 1000],
  ["1__0", 10],
  ["+1", 1],
  ["+_1", 1],
  ["1e3", 1000],
  ["1.5E+3", 1500],
  ["1_0e1_0", 1e11],
  ["+_.5_0", 0.5],
  [".5_0", 0.5],
  [".5e1_0", 5e9],
  [".5", 0.5],
  ["-.5", -0.5],
  [".5e1", 5],
  ["1.", 1],
  ["1.10", 1.1],
  ["1_0.5_0", 10.5],
  ["9007199254740993", 9007199254740993n],
  ["-9007199254740993", -9007199254740993n],
  ["!!binary aGVsbG8=", "hello"],
  ["!!str 0400", "0400"],
  // All of these are text; a parser of YAML 1.1 to the letter reads some as sexagesimal, dates or no number at all.
  ...[
    "60:30",
    "190:20:30.15",
    "2001-01-01",
    "2001-01-01T00:00:00Z",
    ".",
    "e5",
    "E2",
    "_1",
    "._5",
    "-_",
    "1e",
    "0b",
    "0x",
  ]
    .concat(["0b12", "0o8", "0xg", "0x1p4", "1e400", "=", "yES", "oN", "tRUE", "nULL", "nan", "inf"])
    .map((text) => [text, text] as const),
];

/** Texts that have to stay text, whatever they look like. */
export const texts: readonly string[] = [
  ...plainValues.map(([text]) => text),
  ...` a|a: b|a #b|- a|<<|!a|&a|*a|@a|%a|.inf|-.INF|.nan|---|...|\ta|a\nb\n|a\u0085b|a\u2028b|\ufeffa|a\u00e9|"|'|a\\b|\u0000|`.split(
    "|",
  ),
  "12345678901234567890123",
];

const quoted = (text: string): string =>
  JSON.stringify(text).replaceAll(/[^ -~]/g, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`);

export const manifestOf = (kind: string): string =>
  [
    "apiVersion: v1",
    `kind: ${kind}`,
    "metadata: {name: a}",
    "base: &base {x: 1, y: no}",
    "merged: {<<: *base, z: 2}",
    "keys: {on: a, 0400: b, 1.5: c, '0400': d, 'no': e}",
    "plain:",
    ...plainValues.map(([text]) => `  - ${text}`),
    "texts:",
    ...texts.map((text) => `  - ${quoted(text)}`),
    "",
  ].join("\n");
