/** JSON objects of which no member, at any depth, is named twice: two readers cannot understand them differently. Pure. */
import { isTree } from "../../lib/json/tree.ts";
import type { Tree } from "../../lib/json/tree.ts";

const token = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g;

/** `text` is known to be JSON. */
function hasDuplicate(text: string): boolean {
  const open: (Set<string> | null)[] = [];
  const tokens = text.match(token) ?? [];
  for (const [index, part] of tokens.entries()) {
    if (part === "{") open.push(new Set());
    else if (part === "[") open.push(null);
    else if (part === "}" || part === "]") open.pop();
    if (!part.startsWith('"') || tokens[index + 1] !== ":") continue;
    const name = JSON.parse(part) as string;
    const names = open.at(-1)!;
    if (names.has(name)) return true;
    names.add(name);
  }
  return false;
}

/** Null for anything but one JSON object without duplicates. */
export function readObject(text: string): Tree | null {
  try {
    const value: unknown = JSON.parse(text);
    return isTree(value) && !hasDuplicate(text) ? value : null;
  } catch {
    return null;
  }
}
