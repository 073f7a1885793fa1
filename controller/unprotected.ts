/**
 * Pods of projects that run without a proxy, whatever way they came to be. Those that should have one are counted, and told at each
 * pod as long as they do; those that are not meant to have one are told once why.
 */
import type { Clock, Timer } from "../lib/clock/clock.ts";
import type { EventNews, Events, Regarding } from "../lib/kube/events.ts";
import type { Informer } from "../lib/kube/informer.ts";
import type { Namespace, Pod } from "../lib/kube/objects.ts";
import { isTerminal } from "../lib/kube/sidecar.ts";
import { protectionOf } from "../lib/inject/protection.ts";
import { explain } from "../lib/inject/reasons.ts";
import type { InjectReason } from "../lib/inject/reasons.ts";

const everyMs = 30_000;

export type Bare =
  | { readonly kind: "unprotected"; readonly why: string }
  /** By right: its author, its project or its kind wants no proxy. */
  | { readonly kind: "skipped"; readonly reason: InjectReason };

/** Why the pod has no proxy; null where it has one, or where it is not of a project. */
export function whyBare(pod: Pod, namespace: Namespace): Bare | null {
  if (isTerminal(pod)) return null;
  const protection = protectionOf(pod, namespace);
  switch (protection.kind) {
    case "protected":
      return null;
    case "unprotected":
      return { kind: "unprotected", why: protection.why };
    case "exempt":
      return protection.reason === "project_not_labelled" ? null : { kind: "skipped", reason: protection.reason };
  }
}

/** The same, for each version of a pod and of its namespace once: anybody may ask for the metric, and as often as it likes. */
function judgeOnce(): typeof whyBare {
  const judged = new WeakMap<Pod, { readonly in: Namespace; readonly bare: Bare | null }>();
  return (pod, namespace) => {
    const known = judged.get(pod);
    if (known?.in === namespace) return known.bare;
    const bare = whyBare(pod, namespace);
    judged.set(pod, { in: namespace, bare });
    return bare;
  };
}

export type Reconciler = {
  /** Unprotected ones by project; those that have none are there with 0 once they had one. */
  counts(): ReadonlyMap<string, number>;
  stop(): void;
};

type Parts = {
  readonly pods: Pick<Informer<Pod>, "values">;
  readonly namespaces: Pick<Informer<Namespace>, "get">;
  readonly events: Events;
  readonly clock: Clock;
};

type Found = { readonly pod: Pod; readonly bare: Bare };

const regardingOf = ({ metadata: { namespace = "", name, uid } }: Pod): Regarding => ({ namespace, name, uid });

const newsOf = ({ pod: { metadata }, bare }: Found): EventNews =>
  bare.kind === "skipped"
    ? {
        type: "Normal",
        reason: "Skipped",
        action: "Protecting",
        cause: bare.reason,
        note: `This pod of project ${metadata.namespace ?? ""} has no proxy, and is not meant to have one: ${explain(bare.reason)}`,
      }
    : {
        type: "Warning",
        reason: "Unprotected",
        action: "Protecting",
        cause: bare.why,
        note: `This pod of project ${metadata.namespace ?? ""} has no proxy: ${bare.why}. Its project may refuse it. Restart it to protect it, or say tencrypt.io/inject=disabled in its template.`,
      };

type Tell = (all: readonly Found[]) => void;

/** Events are bounded, and what comes first in a list must not be told alone: each turn begins where the last one ended. */
function tellInTurns(events: Events): Tell {
  let next = 0;
  return (all) => {
    const inTurn = [...all.slice(next), ...all.slice(0, next)];
    const untold = inTurn.findIndex((found) => !events.tell(regardingOf(found.pod), newsOf(found)));
    next = untold < 0 ? 0 : (next + untold) % all.length;
  };
}

/** What is as it was meant to be is no news again while it stays so. What there was no room for is told at a later turn. */
function tellOnce(events: Events): Tell {
  let told: ReadonlySet<string> = new Set();
  return (all) => {
    const now = new Set<string>();
    for (const found of all) {
      const news = newsOf(found);
      const name = `${found.pod.metadata.uid} ${news.cause}`;
      if (told.has(name) || events.tell(regardingOf(found.pod), news)) now.add(name);
    }
    told = now;
  };
}

export function startReconciler({ pods, namespaces, events, clock }: Parts): Reconciler {
  const known = new Set<string>();
  const judge = judgeOnce();
  const tellers = { unprotected: tellInTurns(events), skipped: tellOnce(events) };
  let timer: Timer | null = null;
  const look = (kind: Bare["kind"]): readonly Found[] => {
    const found: Found[] = [];
    for (const pod of pods.values()) {
      const namespace = namespaces.get(pod.metadata.namespace ?? "");
      const bare = namespace === undefined ? null : judge(pod, namespace);
      if (bare?.kind === kind) found.push({ pod, bare });
    }
    return found;
  };
  const tell = (): void => {
    // First: what nobody meant is worth more.
    tellers.unprotected(look("unprotected"));
    tellers.skipped(look("skipped"));
    timer = clock.after(everyMs, tell);
  };
  timer = clock.after(everyMs, tell);
  return {
    counts: () => {
      const counts = new Map([...known].map((project) => [project, 0]));
      for (const { pod } of look("unprotected")) {
        const { namespace = "" } = pod.metadata;
        known.add(namespace);
        counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
      }
      return counts;
    },
    stop: () => timer?.cancel(),
  };
}
