/**
 * What would change between two sets of manifests: objects that come, go or change, each with the lines that differ.
 * Data of Secrets is never shown, only that it changes. Pure.
 */
import { createHash } from "node:crypto";
import { readManifests, writeManifest } from "./manifests.ts";

type Manifest = Readonly<Record<string, unknown>> & {
  readonly kind?: string;
  readonly metadata?: { readonly name?: string; readonly namespace?: string };
};

export type Change = {
  readonly object: string;
  readonly kind: "added" | "removed" | "changed";
  /** Each begins with `+`, `-` or a blank. */
  readonly lines: readonly string[];
};

const around = 2;

/** Both are streams of YAML documents. */
export function changes(before: string, after: string): readonly Change[] {
  const [old, next] = [read(before), read(after)];
  const names = [...new Set([...old.keys(), ...next.keys()])].toSorted();
  return names.flatMap((object) => {
    const [was, is] = [old.get(object), next.get(object)];
    if (was === is) return [];
    const kind = was === undefined ? "added" : is === undefined ? "removed" : "changed";
    return [{ object, kind, lines: hunks(lineDiff(linesOf(was), linesOf(is))) }];
  });
}

const linesOf = (text: string | undefined): readonly string[] => (text === undefined ? [] : text.trimEnd().split("\n"));

/** Object name to its YAML, with keys in order so that only what means something differs. */
function read(stream: string): ReadonlyMap<string, string> {
  const manifests = readManifests(stream).map((document) => document.toJS() as Manifest | null);
  return new Map(
    manifests
      .filter((manifest) => manifest !== null && typeof manifest === "object" && manifest.kind !== undefined)
      .map((manifest) => [nameOf(manifest!), writeManifest(masked(manifest!), { sortMapEntries: true })]),
  );
}

const nameOf = ({ kind, metadata }: Manifest): string =>
  `${kind} ${metadata?.namespace === undefined ? "" : `${metadata.namespace}/`}${metadata?.name}`;

const secret = new Set(["data", "stringData"]);

const hidden = (data: unknown): unknown =>
  Object.fromEntries(Object.entries(data ?? {}).map(([key, value]) => [key, `(${fingerprint(value)})`]));

function masked(manifest: Manifest): Manifest {
  if (manifest.kind !== "Secret") return manifest;
  return Object.fromEntries(
    Object.entries(manifest).map(([field, value]) => [field, secret.has(field) ? hidden(value) : value]),
  );
}

/** Enough to see that it is another one, too little to find it. */
const fingerprint = (value: unknown): string => createHash("sha256").update(String(value)).digest("hex").slice(0, 4);

type Line = { readonly sign: " " | "+" | "-"; readonly text: string };

/** By the longest common subsequence: manifests have some hundreds of lines. */
function lineDiff(old: readonly string[], next: readonly string[]): readonly Line[] {
  const common = lengths(old, next);
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < next.length) {
    if (i < old.length && j < next.length && old[i] === next[j]) {
      lines.push({ sign: " ", text: old[i]! });
      i++;
      j++;
    } else if (j === next.length || (i < old.length && common[i + 1]![j]! >= common[i]![j + 1]!))
      lines.push({ sign: "-", text: old[i++]! });
    else lines.push({ sign: "+", text: next[j++]! });
  }
  return lines;
}

/** `[i][j]`: how many lines the rests from i and from j have in common, in order. */
function lengths(old: readonly string[], next: readonly string[]): readonly (readonly number[])[] {
  const table = Array.from({ length: old.length + 1 }, () => Array.from({ length: next.length + 1 }, () => 0));
  for (let i = old.length - 1; i >= 0; i--)
    for (let j = next.length - 1; j >= 0; j--)
      table[i]![j] = old[i] === next[j] ? table[i + 1]![j + 1]! + 1 : Math.max(table[i + 1]![j]!, table[i]![j + 1]!);
  return table;
}

/** Only lines near a difference; `…` where others are left out. */
function hunks(lines: readonly Line[]): readonly string[] {
  const isNear = (index: number): boolean =>
    lines.slice(Math.max(0, index - around), index + around + 1).some(({ sign }) => sign !== " ");
  const shown: string[] = [];
  let left = false;
  for (const [index, { sign, text }] of lines.entries()) {
    if (isNear(index)) {
      if (left) shown.push("  …");
      shown.push(`${sign} ${text}`);
    }
    left = !isNear(index);
  }
  return shown;
}

/** For people. */
export function told(found: readonly Change[]): string {
  if (found.length === 0) return "nothing would change\n";
  const count = (kind: Change["kind"]): number => found.filter((change) => change.kind === kind).length;
  const objects = found.map(
    ({ object, kind, lines }) =>
      `${kind}: ${object}\n${kind === "removed" ? "" : lines.map((line) => `  ${line}\n`).join("")}`,
  );
  const sum = `${count("added")} added, ${count("changed")} changed, ${count("removed")} removed`;
  return `${objects.join("\n")}\n${sum}\n`;
}
