/** Pods of projects that should have a proxy and have none, whatever way they came to be: counted, and told at each pod. */
import type { Clock, Timer } from "../lib/clock/clock.ts";
import type { EventNews, Events, Regarding } from "../lib/kube/events.ts";
import type { Informer } from "../lib/kube/informer.ts";
import type { Namespace, Pod } from "../lib/kube/objects.ts";
import { isTerminal } from "../lib/kube/sidecar.ts";
import { protectionOf } from "../lib/inject/protection.ts";

const everyMs = 30_000;

/** Why the pod is not protected though it should be; null where it is, or where it is not meant to be. */
export function unprotectedWhy(pod: Pod, namespace: Namespace): string | null {
  if (isTerminal(pod)) return null;
  const protection = protectionOf(pod, namespace);
  return protection.kind === "unprotected" ? protection.why : null;
}

/** The same, for each version of a pod and of its namespace once: anybody may ask for the metric, and as often as it likes. */
function judgeOnce(): typeof unprotectedWhy {
  const judged = new WeakMap<Pod, { readonly in: Namespace; readonly why: string | null }>();
  return (pod, namespace) => {
    const known = judged.get(pod);
    if (known?.in === namespace) return known.why;
    const why = unprotectedWhy(pod, namespace);
    judged.set(pod, { in: namespace, why });
    return why;
  };
}

export type Reconciler = {
  /** By project; those that have none are there with 0 once they had one. */
  counts(): ReadonlyMap<string, number>;
  stop(): void;
};

type Parts = {
  readonly pods: Pick<Informer<Pod>, "values">;
  readonly namespaces: Pick<Informer<Namespace>, "get">;
  readonly events: Events;
  readonly clock: Clock;
};

const regardingOf = ({ metadata: { namespace = "", name, uid } }: Pod): Regarding => ({ namespace, name, uid });

const newsOf = ({ metadata: { namespace = "" } }: Pod, why: string): EventNews => ({
  reason: "Unprotected",
  action: "Protecting",
  cause: why,
  note: `This pod of project ${namespace} has no proxy: ${why}. Its project may refuse it. Restart it to protect it, or say tencrypt.io/inject=disabled in its template.`,
});

export function startReconciler({ pods, namespaces, events, clock }: Parts): Reconciler {
  const known = new Set<string>();
  const judge = judgeOnce();
  let timer: Timer | null = null;
  const look = (found: (pod: Pod, why: string) => void): void => {
    for (const pod of pods.values()) {
      const namespace = namespaces.get(pod.metadata.namespace ?? "");
      const why = namespace === undefined ? null : judge(pod, namespace);
      if (why !== null) found(pod, why);
    }
  };
  /** Where the last turn ended: Events are bounded, and what comes first in the list must not be told alone. */
  let next = 0;
  const tell = (): void => {
    const all: { readonly pod: Pod; readonly why: string }[] = [];
    look((pod, why) => all.push({ pod, why }));
    const inTurn = [...all.slice(next), ...all.slice(0, next)];
    const untold = inTurn.findIndex(({ pod, why }) => !events.tell(regardingOf(pod), newsOf(pod, why)));
    next = untold < 0 ? 0 : (next + untold) % all.length;
    timer = clock.after(everyMs, tell);
  };
  timer = clock.after(everyMs, tell);
  return {
    counts: () => {
      const counts = new Map([...known].map((project) => [project, 0]));
      look(({ metadata: { namespace = "" } }) => {
        known.add(namespace);
        counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
      });
      return counts;
    },
    stop: () => timer?.cancel(),
  };
}
