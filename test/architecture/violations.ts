/** Compares sources with the import table. Pure: `sources` maps paths below the root to texts. */
import { builtinModules } from "node:module";
import {
  bannedNames,
  clockReaders,
  covers,
  coveredBy,
  exceptions,
  ioModules,
  isPure,
  packages,
  unrestricted,
  zoneOf,
} from "./import-table.ts";
import { importsOf, isRelative, resolveImport } from "./imports.ts";
import type { Import } from "./imports.ts";

export type Sources = ReadonlyMap<string, string>;

const builtins = new Set(builtinModules);
const bareName = (specifier: string): string => specifier.replace(/^node:/, "");
const isBuiltin = (specifier: string): boolean => specifier.startsWith("node:") || builtins.has(specifier);

/** What reads the clock, sets a timer or draws randomness, beyond what the linter knows by name. */
const clockUse =
  /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bMath\.random\b|\b(?:setTimeout|setInterval)\(|"(?:node:)?timers(?:\/promises)?"/;

export function violationsOf(sources: Sources): readonly string[] {
  const found = [...sources].flatMap(([file, source]) => [
    ...nameFaults(file),
    ...(coveredBy(unrestricted, file) ? [] : programFaults(file, source)),
  ]);
  return [...found, ...cycleFaults(sources)];
}

function nameFaults(file: string): readonly string[] {
  const words = file.split("/").map((part) => part.split(".")[0]!);
  return words.filter((word) => bannedNames.includes(word)).map((word) => `${file}: the name "${word}" says nothing`);
}

function programFaults(file: string, source: string): readonly string[] {
  if (zoneOf(file) === null) return [`${file}: no zone of the import table covers it`];
  const faults = importsOf(source).flatMap((entry) => importFault(file, entry) ?? []);
  if (!coveredBy(clockReaders, file) && clockUse.test(source)) faults.push(`${file}: reads the clock or randomness`);
  return faults;
}

function importFault(file: string, entry: Import): string | null {
  if (isRelative(entry.specifier)) return fileFault(file, resolveImport(file, entry.specifier), entry.kind);
  if (isBuiltin(entry.specifier)) return builtinFault(file, entry.specifier);
  const isAllowed = packages.some((rule) => isOfPackage(rule.name, entry.specifier) && coveredBy(rule.from, file));
  return isAllowed ? null : `${file}: may not import the package ${entry.specifier}`;
}

function isOfPackage(rule: string, specifier: string): boolean {
  if (rule.endsWith("/") || rule === specifier) return specifier.startsWith(rule);
  return !rule.endsWith(".js") && specifier.startsWith(`${rule}/`);
}

function builtinFault(file: string, specifier: string): string | null {
  if (!specifier.startsWith("node:")) return `${file}: ${specifier} lacks its prefix node:`;
  return isPure(file) && ioModules.includes(bareName(specifier)) ? `${file}: is pure and imports ${specifier}` : null;
}

function fileFault(file: string, target: string, kind: Import["kind"]): string | null {
  const zone = zoneOf(file)!;
  const isException = exceptions.some((entry) => entry.file === file && entry.imports === target);
  const allowed = covers(zone.path, target) || coveredBy(zone.values, target) || isException;
  const typeAllowed = kind === "type" && coveredBy(zone.types ?? [], target);
  if (!allowed && !typeAllowed) return `${file}: may not import ${kind === "type" ? "types of " : ""}${target}`;
  if (kind === "value" && isPure(file) && !isPure(target)) return `${file}: is pure and uses ${target}, which is not`;
  return null;
}

/** Every cycle of value imports, each named once. */
function cycleFaults(sources: Sources): readonly string[] {
  const edges = new Map([...sources].map(([file, source]) => [file, valueTargets(file, source, sources)]));
  const done = new Set<string>();
  const faults: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) faults.push(`cycle: ${[...path.slice(start), file].join(" -> ")}`);
    if (start >= 0 || done.has(file)) return;
    for (const target of edges.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of edges.keys()) visit(file, []);
  return faults;
}

export function valueTargets(file: string, source: string, sources: Sources): readonly string[] {
  return importsOf(source)
    .filter((entry) => entry.kind === "value" && isRelative(entry.specifier))
    .map((entry) => resolveImport(file, entry.specifier))
    .filter((target) => sources.has(target));
}
