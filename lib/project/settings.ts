/**
 * What a namespace and its pods ask for, read from labels and annotations. Whatever cannot be read never loosens: an
 * unknown mode is `strict`, an entry of a list that allows something allows nothing, and a list of callers of which no
 * entry can be read admits nobody instead of everybody. Every problem is told. Pure.
 */
import { most } from "../directory/bounds.ts";
import { isName } from "../identity/spiffe-id.ts";
import { annotations, projectLabel } from "../kube/names.ts";
import { modes } from "./mode.ts";
import type { Mode } from "./mode.ts";
import { parseAddressRule, parseCallerRule, parseIngressRule } from "./rules.ts";

/** Of a namespace or a pod, as much of its metadata as is looked at. */
export type Marked = {
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
};

/** `uid` null: the entry names no uid yet, and does not count. */
export type PeerEntry = { readonly name: string; readonly uid: string | null };

export type ProjectSettings = {
  readonly mode: Mode;
  readonly dryRun: Mode | null;
  readonly peers: readonly PeerEntry[];
  readonly nodeSources: "accept" | "refuse" | null;
  readonly udp: "allow" | "dns-only";
  /** Entries as written, each of a form that the proxy reads. */
  readonly allowEgress: readonly string[];
  readonly allowIngress: readonly string[];
  readonly allowFrom: readonly string[];
  readonly allowFromDryRun: readonly string[];
  readonly defaultInjection: boolean;
};

/** Of a pod; each counts only where it is stricter than the project's. */
export type PodSettings = {
  readonly mode: Mode | null;
  readonly dryRun: Mode | null;
  readonly nodeSources: "accept" | "refuse" | null;
  /** Null: all that the project names; an empty list names nothing. */
  readonly allowEgress: readonly string[] | null;
  readonly allowIngress: readonly string[] | null;
  readonly allowFrom: readonly string[];
  readonly allowFromDryRun: readonly string[];
};

export type Reading<T> = { readonly settings: T; readonly problems: readonly string[] };

/** Names no caller that can exist: a project's name has no dot. */
export const nobody = "nobody.tencrypt.io/nobody";
const uidText = /^[A-Za-z0-9-]{1,64}$/;

export const isProject = ({ labels }: Marked): boolean => labels?.[projectLabel] === "enabled";

class Reader {
  readonly problems: string[] = [];
  readonly #annotations: Readonly<Record<string, string>>;

  constructor(marked: Marked) {
    this.#annotations = marked.annotations ?? {};
  }

  /** What the annotation says, `absent` where there is none, `unreadable` where it says something else. */
  choice<T extends string, A, U>(
    name: string,
    choices: readonly T[],
    { absent, unreadable }: { readonly absent: A; readonly unreadable: U },
  ): T | A | U {
    const text = this.#annotations[name]?.trim();
    if (text === undefined) return absent;
    const chosen = choices.find((choice) => choice === text);
    if (chosen !== undefined) return chosen;
    this.problems.push(`${name}: ${JSON.stringify(text.slice(0, 64))} is none of ${choices.join(", ")}`);
    return unreadable;
  }

  list<T>(name: string, expected: string, read: (entry: string) => T | null): readonly T[] | null {
    const text = this.#annotations[name];
    if (text === undefined) return null;
    const entries = text
      .split(",")
      .map((entry) => entry.trim())
      .filter((entry) => entry !== "");
    if (entries.length > most.entries)
      this.problems.push(`${name}: more than ${most.entries} entries, the rest is left out`);
    const readable: T[] = [];
    for (const entry of entries.slice(0, most.entries)) {
      const value = read(entry);
      if (value === null) this.problems.push(`${name}: ${JSON.stringify(entry.slice(0, 128))} is not ${expected}`);
      else readable.push(value);
    }
    return readable;
  }

  /** A mode that is tried: what cannot be read is none. */
  dryRun(): Mode | null {
    return this.choice(annotations.dryRun, modes, { absent: null, unreadable: null });
  }

  nodeSources(): ProjectSettings["nodeSources"] {
    return this.choice(annotations.nodeSources, ["accept", "refuse"] as const, { absent: null, unreadable: "refuse" });
  }

  addresses(name: string): readonly string[] | null {
    return this.#asWritten(name, "a CIDR[:port]", parseAddressRule);
  }

  sources(name: string): readonly string[] | null {
    return this.#asWritten(name, "a CIDR[:port] or <project>/<service account>[:port]", parseIngressRule);
  }

  /** An empty list admits everybody: one that was meant to restrict and cannot be read must not become that. */
  callers(name: string): readonly string[] {
    const readable = this.#asWritten(name, "<project>/<service account>[:port]", parseCallerRule);
    if (readable === null) return [];
    return readable.length === 0 ? [nobody] : readable;
  }

  #asWritten(name: string, expected: string, parse: (entry: string) => object | null): readonly string[] | null {
    return this.list(name, expected, (entry) => (parse(entry) === null ? null : entry));
  }
}

/** `name/uid`, or `name` alone. */
function readPeer(entry: string): PeerEntry | null {
  const [name = "", uid, ...rest] = entry.split("/");
  if (!isName(name) || name.includes(".") || rest.length > 0) return null;
  if (uid === undefined) return { name, uid: null };
  return uidText.test(uid) ? { name, uid } : null;
}

/** `defaultMode` is that of the installation, for a namespace that names none. */
export function readProjectSettings(namespace: Marked, defaultMode: Mode): Reading<ProjectSettings> {
  const reader = new Reader(namespace);
  const injection = ["enabled", "disabled"] as const;
  const settings: ProjectSettings = {
    mode: reader.choice(annotations.mode, modes, { absent: defaultMode, unreadable: "strict" }),
    dryRun: reader.dryRun(),
    peers: reader.list(annotations.peers, "<project>[/<uid of its namespace>]", readPeer) ?? [],
    nodeSources: reader.nodeSources(),
    udp: reader.choice(annotations.udp, ["allow", "dns-only"] as const, { absent: "dns-only", unreadable: "dns-only" }),
    allowEgress: reader.addresses(annotations.allowEgress) ?? [],
    allowIngress: reader.sources(annotations.allowIngress) ?? [],
    allowFrom: reader.callers(annotations.allowFrom),
    allowFromDryRun: reader.callers(annotations.allowFromDryRun),
    defaultInjection:
      reader.choice(annotations.defaultInjection, injection, { absent: "enabled", unreadable: "enabled" }) ===
      "enabled",
  };
  return { settings, problems: reader.problems };
}

export function readPodSettings(pod: Marked): Reading<PodSettings> {
  const reader = new Reader(pod);
  const settings: PodSettings = {
    mode: reader.choice(annotations.mode, modes, { absent: null, unreadable: "strict" }),
    dryRun: reader.dryRun(),
    nodeSources: reader.nodeSources(),
    allowEgress: reader.addresses(annotations.allowEgress),
    allowIngress: reader.sources(annotations.allowIngress),
    allowFrom: reader.callers(annotations.allowFrom),
    allowFromDryRun: reader.callers(annotations.allowFromDryRun),
  };
  return { settings, problems: reader.problems };
}
