/**
 * Turns the import table into overrides for oxlint, which knows import specifiers only as they are written: for every
 * zone and every depth below it one override with the specifiers that are refused there. Later overrides replace
 * earlier ones, so each is complete and the more specific paths come last.
 */
import { posix } from "node:path";
import type { OxlintConfig } from "oxlint";
import {
  covers,
  coveredBy,
  exceptions,
  isPure,
  ioModules,
  packages,
  pure,
  unrestricted,
  zoneOf,
  zones,
} from "./import-table.ts";
import manifest from "../../package.json" with { type: "json" };

type Override = NonNullable<OxlintConfig["overrides"]>[number];
type Where = { readonly regex: string } | { readonly group: string[] };
type Pattern = Where & { readonly message: string; readonly allowTypeImports?: boolean };

/** How many folders below a zone its files may lie for the editor to see the rule; the test has no such limit. */
const depths = [0, 1, 2] as const;

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

/** The specifier prefix that leads from `folder` to `target`. */
function specifierTo(folder: string, target: string): string {
  const relative = posix.relative(folder, target);
  return `${relative.startsWith(".") ? relative : `./${relative}`}${target.endsWith("/") ? "/" : ""}`;
}

/** All places that the table tells apart: what is not allowed among them is refused by name. */
const places: readonly string[] = [...new Set([...zones.map((zone) => zone.path), ...unrestricted])];

/** The specifiers of `place`'s own files, leaving out the single files in it that are allowed. */
function specifiersOf(folder: string, place: string, allowed: readonly string[]): Where {
  const prefix = specifierTo(folder, place);
  const files = allowed.filter((entry) => !entry.endsWith("/") && covers(place, entry) && entry !== place);
  if (files.length > 0) return { group: [`${prefix}*`, ...files.map((file) => `!${specifierTo(folder, file)}`)] };
  // A zone that holds further zones is meant by its direct files; the further zones have patterns of their own.
  const nested = zones.some((zone) => zone.path !== place && zone.path.startsWith(place));
  return { regex: `^${escape(prefix)}${nested ? String.raw`[^/]+$` : ""}` };
}

function zonePatterns(own: string, folder: string): readonly Pattern[] {
  const zone = zoneOf(own);
  if (zone === null) return [];
  const allowedFiles = exceptions.filter((exception) => covers(own, exception.file)).map((entry) => entry.imports);
  const values = [...zone.values, ...allowedFiles];
  return places
    .filter((place) => place !== zone.path && !coveredBy(zone.values, place))
    .map((place) => ({
      ...specifiersOf(folder, place, values),
      message: `${zone.path} may not import ${place} (test/architecture/import-table.ts)`,
      allowTypeImports: coveredBy(zone.types ?? [], place),
    }));
}

/** Packages that the table does not give to any program are there for development. */
const developmentPackages = Object.keys(manifest.devDependencies).filter((name) => !name.startsWith("@types/"));

function packagePatterns(own: string): readonly Pattern[] {
  const allowed = packages.filter((rule) => rule.from.some((from) => covers(from, own) || covers(own, from)));
  const names = [...packages.map((rule) => rule.name), ...developmentPackages, "node-forge"];
  return names
    .filter((name) => !allowed.some((rule) => rule.name === name))
    .map((name) => ({
      regex: name.endsWith("/") || allowed.some((rule) => rule.name.startsWith(name)) ? `^${name}$` : `^${name}(?:$|/)`,
      message: `${own} may not import ${name} (test/architecture/import-table.ts)`,
    }));
}

function purePatterns(own: string): readonly Pattern[] {
  if (!isPure(own)) return [];
  const names = ioModules.map(escape).join("|");
  return [{ regex: `^(?:node:)?(?:${names})$`, message: `${own} is pure: it does no I/O and reads no clock` }];
}

function overrideFor(own: string, depth: number): Override {
  const isFile = !own.endsWith("/");
  const folder = isFile ? posix.dirname(own) : posix.join(own, ...Array<string>(depth).fill("deeper"));
  const patterns = [...zonePatterns(own, folder), ...packagePatterns(own), ...purePatterns(own)];
  return {
    files: [isFile ? own : `${own}${"*/".repeat(depth)}*.ts`],
    rules: { "no-restricted-imports": ["error", { patterns }] },
  };
}

/** Every path for which some rule of the table begins to differ, the general ones first. */
const boundaries: readonly string[] = [
  ...new Set([...zones.map((zone) => zone.path), ...pure, ...packages.flatMap((rule) => rule.from)]),
].toSorted((one, other) => one.split("/").length - other.split("/").length || one.length - other.length);

export const importOverrides: readonly Override[] = boundaries.flatMap((own) =>
  (own.endsWith("/") ? depths : [0]).map((depth) => overrideFor(own, depth)),
);
