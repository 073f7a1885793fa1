/** The modes of a project, and which of two is stricter. Pure. */

export type Mode = "permissive" | "project" | "strict";

export const modes: readonly Mode[] = ["permissive", "project", "strict"];

export const isStricter = (a: Mode, b: Mode): boolean => modes.indexOf(a) > modes.indexOf(b);

export const strictest = (a: Mode, b: Mode | null): Mode => (b !== null && isStricter(b, a) ? b : a);
