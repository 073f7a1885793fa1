/**
 * Labels and annotations of ours that do nothing where they stand: a name that is misspelt, on the wrong object or a label
 * instead of an annotation, a choice that is neither of its words, and what a pod says that its project does not let count.
 * Settings are read in settings.ts. Pure.
 */
import { annotations, podMarks, projectLabel } from "../kube/names.ts";
import { isStricter, strictest } from "./mode.ts";
import { mayNameTheSame, parseIngressRule } from "./rules.ts";
import type { IngressRule } from "./rules.ts";
import { isProject, readPodSettings } from "./settings.ts";
import type { Marked, ProjectSettings } from "./settings.ts";

type Kind = "namespace" | "pod";
type Names = { readonly labels: readonly string[]; readonly annotations: readonly string[] };

const prefix = "tencrypt.io/";
const { inject, mode, dryRun, nodeSources, allowFrom, allowFromDryRun, allowEgress, allowIngress } = annotations;
const ofPods = [inject, mode, dryRun, nodeSources, allowFrom, allowFromDryRun, allowEgress, allowIngress];

/** What counts where; a test compares with docs/reference.md. */
export const marksOf: Readonly<Record<Kind, Names>> = {
  namespace: {
    labels: [projectLabel],
    annotations: Object.values(annotations).filter((name) => name !== inject),
  },
  pod: {
    labels: [],
    annotations: [...ofPods, ...Object.values(podMarks)],
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

/** What a pod says that changes nothing, because its project is stricter: a pod only ever narrows. */
export function looserMarks(pod: Marked, project: ProjectSettings): readonly string[] {
  const { settings } = readPodSettings(pod);
  const { mode: wanted, dryRun: tried, nodeSources: sources } = settings;
  const inForce = strictest(project.mode, wanted);
  const accepted = project.nodeSources === null ? inForce !== "strict" : project.nodeSources === "accept";
  const looser: string[] = [];
  if (wanted !== null && isStricter(project.mode, wanted))
    looser.push(`${mode}: ${wanted} is looser than the project's ${project.mode}, which holds`);
  if (tried !== null && !isStricter(tried, inForce))
    looser.push(`${dryRun}: ${tried} is not stricter than ${inForce}, which holds`);
  if (sources === "accept" && !accepted) looser.push(`${nodeSources}: accept is looser than refuse, which holds`);
  return [
    ...looser,
    ...unnamed(allowEgress, settings.allowEgress, project.allowEgress),
    ...unnamed(allowIngress, settings.allowIngress, project.allowIngress),
  ];
}

/** The entries of a pod's list that nothing in the project's list could agree with. */
function unnamed(name: string, own: readonly string[] | null, project: readonly string[]): readonly string[] {
  const rulesOf = (entries: readonly string[]): readonly IngressRule[] =>
    entries.map(parseIngressRule).filter((rule) => rule !== null);
  const named = rulesOf(project);
  return (own ?? [])
    .filter((entry) => rulesOf([entry]).every((rule) => !named.some((each) => mayNameTheSame(rule, each))))
    .map((entry) => `${name}: ${entry} is not named by the project, whose list has to name it too`);
}

/** The value of the label on a namespace that was meant to be a project, and is none; null elsewhere. */
export function labelWithoutEffect(namespace: Marked): string | null {
  const value = namespace.labels?.[projectLabel];
  return value === undefined || isProject(namespace) ? null : value;
}
