/**
 * Labels and annotations of ours that do nothing where they stand: a name that is misspelt, on the wrong object or a label
 * instead of an annotation, and a choice that is neither of its words. Settings are read in settings.ts. Pure.
 */
import { annotations, podMarks, projectLabel } from "../kube/names.ts";
import { isProject, readPodSettings } from "./settings.ts";
import type { Marked } from "./settings.ts";

type Kind = "namespace" | "pod";
type Names = { readonly labels: readonly string[]; readonly annotations: readonly string[] };

const prefix = "tencrypt.io/";
const { inject, mode, allowFrom, allowFromDryRun } = annotations;

/** What counts where; a test compares with docs/reference.md. */
export const marksOf: Readonly<Record<Kind, Names>> = {
  namespace: {
    labels: [projectLabel],
    annotations: Object.values(annotations).filter((name) => name !== inject),
  },
  pod: {
    labels: [],
    annotations: [inject, mode, allowFrom, allowFromDryRun, ...Object.values(podMarks)],
  },
};

/** Names under tencrypt.io/ that mean nothing on such an object. */
export function idleMarks(kind: Kind, marked: Marked): readonly string[] {
  const idle = (what: keyof Names): readonly string[] =>
    Object.keys(marked[what] ?? {})
      .filter((name) => name.startsWith(prefix) && !marksOf[kind][what].includes(name))
      .map((name) => `${what.slice(0, -1)} ${name} means nothing on a ${kind}`);
  return [...idle("labels"), ...idle("annotations")];
}

/** What a pod says that cannot be read: it never loosens. */
export function podProblems(pod: Marked): readonly string[] {
  const choice = pod.annotations?.[inject];
  const isWord = choice === undefined || choice === "enabled" || choice === "disabled";
  const { problems } = readPodSettings(pod);
  return isWord
    ? problems
    : [`${inject}: ${JSON.stringify(choice.slice(0, 64))} is none of enabled, disabled`, ...problems];
}

/** The value of the label on a namespace that was meant to be a project, and is none; null elsewhere. */
export function labelWithoutEffect(namespace: Marked): string | null {
  const value = namespace.labels?.[projectLabel];
  return value === undefined || isProject(namespace) ? null : value;
}
