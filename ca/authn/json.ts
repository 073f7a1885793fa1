/** JSON objects of which no member, at any depth, is named twice: two readers cannot understand them differently. Pure. */

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

export type JsonObject = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Null for anything but one JSON object without duplicates. */
export function readObject(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) && !hasDuplicate(text) ? value : null;
  } catch {
    return null;
  }
}
