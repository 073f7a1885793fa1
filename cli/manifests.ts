/**
 * Manifests as text: read as kubectl and the API server read them, and written so that they read the same again. Their
 * parser (sigs.k8s.io/yaml, over go-yaml 2) knows neither YAML 1.1 nor 1.2 to the letter: `0400` is octal and `no` is a
 * truth value, as in 1.1; `0o400` is octal too, as in 1.2; a date is text. What kubectl would take for something else than
 * text is quoted where it is text. Pure.
 */
import { parseAllDocuments, stringify } from "yaml";
import type { Document, ScalarTag, Tags } from "yaml";

const tag = (name: string): string => `tag:yaml.org,2002:${name}`;
const bare = (text: string): string => text.replaceAll("_", "");

const nothing: ScalarTag = {
  tag: tag("null"),
  default: true,
  test: /^(?:~|null|Null|NULL)?$/,
  identify: (value) => value === null || value === undefined,
  resolve: () => null,
  stringify: () => "null",
};

const truth: ScalarTag = {
  tag: tag("bool"),
  default: true,
  test: /^(?:[yYnN]|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/,
  identify: (value) => typeof value === "boolean",
  resolve: (text) => /^(?:y|yes|true|on)$/i.test(text),
  stringify: ({ value }) => String(value),
};

/** Whole numbers beyond those that are exact here stay as they are written. */
const whole: ScalarTag = {
  tag: tag("int"),
  default: true,
  test: /^(?:[-+]_*)?(?:0[xX]_*[0-9a-fA-F][0-9a-fA-F_]*|0[bB]_*[01][01_]*|0[oO]_*[0-7][0-7_]*|[0-9][0-9_]*)$/,
  identify: (value) => typeof value === "bigint" || Number.isInteger(value),
  resolve: (text) => {
    const digits = bare(text).replace(/^[-+]/, "");
    // A number that begins with 0 and is not octal is decimal to that parser.
    const size = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits}` : digits.toLowerCase());
    const value = text.startsWith("-") ? -size : size;
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  },
  stringify: ({ value }) => String(value),
};

const fraction: ScalarTag = {
  tag: tag("float"),
  default: true,
  test: /^(?:(?:[-+]_*)?[0-9][0-9_]*(?:\.[0-9_]*)?|[-+]_*\._*[0-9][0-9_]*)(?:[eE][-+]?_*[0-9][0-9_]*)?$/,
  identify: (value) => typeof value === "number",
  resolve: (text) => {
    const value = Number(bare(text));
    return Number.isFinite(value) ? value : text;
  },
  stringify: ({ value }) => String(value),
};

/** Of a number that begins with its point that parser takes `_` between digits only. */
const point: ScalarTag = { ...fraction, test: /^\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?$/ };

/** No JSON has them: kubectl refuses them, and is to go on doing so. */
const endless: ScalarTag = {
  tag: tag("float"),
  default: true,
  test: /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/,
  identify: (value) => typeof value === "number" && !Number.isFinite(value),
  resolve: (text) => (/nan$/i.test(text) ? Number.NaN : text.startsWith("-") ? -Infinity : Infinity),
  stringify: ({ value }) => (Number.isNaN(value) ? ".nan" : value === Infinity ? ".inf" : "-.inf"),
};

const binary: ScalarTag = {
  tag: tag("binary"),
  resolve: (text) => Buffer.from(text, "base64").toString("utf8"),
};

/** Line breaks to that parser, which would fold them; and the key that merges. */
const misread = /[\u0085\u2028\u2029\ufeff]|^<<$/;
const escaped = (text: string): string =>
  JSON.stringify(text).replaceAll(
    /[\u0085\u2028\u2029\ufeff]/g,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
const alwaysQuoted: ScalarTag = {
  tag: tag("str"),
  default: true,
  // Of no use in reading; only a tag that has one is asked before that of merges.
  test: /(?!)/,
  identify: (value) => typeof value === "string" && misread.test(value),
  resolve: (text) => text,
  stringify: ({ value }) => escaped(String(value)),
};

const scalars: Tags = [alwaysQuoted, nothing, truth, whole, endless, fraction, point, binary];
const asKubectl = {
  version: "1.1",
  schema: "failsafe",
  merge: true,
  customTags: (tags: Tags): Tags => [...scalars, ...tags],
} as const;

const parse = (text: string): readonly Document.Parsed[] =>
  parseAllDocuments(text, asKubectl).filter((document): document is Document.Parsed => "contents" in document);

/**
 * Also what is no YAML: each document has its `errors`. What begins as JSON may be objects one after the other, such as
 * `jq '.items[]'` writes.
 */
export function readManifests(text: string): readonly Document.Parsed[] {
  const isGood = ({ errors }: Document.Parsed): boolean => errors.length === 0;
  const documents = parse(text);
  if (documents.every(isGood) || !/^\s*\{/.test(text)) return documents;
  const apart = objectsIn(text).flatMap(parse);
  return apart.every(isGood) ? apart : documents;
}

/** The text, cut behind each of its outermost objects of JSON. */
function objectsIn(text: string): readonly string[] {
  const pieces: string[] = [];
  let [depth, from] = [0, 0];
  for (const { 0: part, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (part === "{") depth++;
    if (part !== "}" || --depth > 0) continue;
    pieces.push(text.slice(from, index + 1));
    from = index + 1;
  }
  return [...pieces, text.slice(from)];
}

/** Readers that follow YAML 1.1 to the letter find text as text too. */
export const writeManifest = (value: unknown, options: { readonly sortMapEntries?: boolean } = {}): string =>
  stringify(value, { ...asKubectl, ...options, compat: "yaml-1.1", lineWidth: 0, aliasDuplicateObjects: false });
