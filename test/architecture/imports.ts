/**
 * Reads the imports of a TypeScript source as they are written: static, re-exports, dynamic and types. It relies on
 * the formatter (a statement begins its line, specifiers are in double quotes); `architecture.test.ts` compares what it
 * finds with the bundler's own parser, so a form that it does not see is noticed.
 */
import { posix } from "node:path";

export type Import = {
  readonly specifier: string;
  /** A type import is gone at run time. */
  readonly kind: "value" | "type";
};

const statement =
  /^(?:import|export)\s+(type\s+(?!from\b))?(?:(?:\*(?:\s+as\s+\w+)?|[\w$]+(?:\s*,\s*\{[^}]*\})?|\{[^}]*\}|\w+\s*,\s*\*\s+as\s+\w+)\s+from\s+)?"([^"\n]+)"/gm;
const dynamic = /(\btypeof\s+)?\bimport\(\s*["'`]([^"'`]+)["'`]\s*\)(\.[A-Z])?/g;

export function importsOf(source: string): readonly Import[] {
  const found: Import[] = [];
  for (const match of source.matchAll(statement)) {
    found.push({ specifier: match[2]!, kind: match[1] === undefined ? "value" : "type" });
  }
  for (const match of source.matchAll(dynamic)) {
    found.push({ specifier: match[2]!, kind: match[1] === undefined && match[3] === undefined ? "value" : "type" });
  }
  return found;
}

/** The path below the root that a relative specifier in `file` names. */
export const resolveImport = (file: string, specifier: string): string => posix.join(posix.dirname(file), specifier);

export const isRelative = (specifier: string): boolean => specifier.startsWith(".");
