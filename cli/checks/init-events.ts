/** What tencrypt-init says in its log, a JSON line an event, and what of it is a reason to worry about a node. Pure. */

export type InitEvent = { readonly event: string; readonly [field: string]: unknown };

/** A line that is none of init's (cut off, or the runtime's own) says nothing. */
export const eventsIn = (log: string): readonly InitEvent[] => log.split("\n").flatMap(eventOf);

function eventOf(line: string): readonly InitEvent[] {
  try {
    const read = JSON.parse(line) as Partial<InitEvent> | null;
    return typeof read?.event === "string" ? [read as InitEvent] : [];
  } catch {
    return [];
  }
}

export const fieldOf = (found: InitEvent, field: string): string => {
  const value = found[field];
  return typeof value === "string" ? value : "";
};

type RulesSaid =
  /** `backend` as init names it: `nft`, `legacy`, or `plain` for an image that has one alone. */
  | { readonly kind: "set"; readonly backend: string; readonly unusable: readonly string[] }
  | { readonly kind: "failed"; readonly why: string }
  /** Nothing of either is in the log. */
  | { readonly kind: "unsaid" };

/** The last run counts: a container that is started anew says all of it again. */
export function rulesSaid(events: readonly InitEvent[]): RulesSaid {
  const last = events.findLast(({ event }) => event === "done" || event === "init_failed");
  if (last?.event === "init_failed")
    return { kind: "failed", why: `${fieldOf(last, "step")}: ${fieldOf(last, "why")}` };
  const set = events.findLast((each) => each.event === "rules_set" && each["family"] === "v4");
  if (last === undefined || set === undefined) return { kind: "unsaid" };
  const unusable = events
    .filter(({ event }) => event === "backend_unusable")
    .map((each) => `${fieldOf(each, "backend")} cannot be used: ${fieldOf(each, "why")}`);
  return { kind: "set", backend: fieldOf(set, "backend"), unusable: [...new Set(unusable)] };
}

/** Injection gives init what nf_tables needs, and not NET_RAW, without which the legacy backend is no way out. */
export function backendProblems(said: RulesSaid): readonly string[] {
  if (said.kind !== "set") return [];
  return [...said.unusable, ...(said.backend === "legacy" ? ["the rules stand in the legacy backend"] : [])];
}

const names: Readonly<Record<string, string>> = { nft: "nf_tables", plain: "the image's only backend" };

export const backendNames = (all: readonly RulesSaid[]): string =>
  [...new Set(all.flatMap((said) => (said.kind === "set" ? [names[said.backend] ?? said.backend] : [])))]
    .toSorted()
    .join(" and ");
