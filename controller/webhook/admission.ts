/**
 * The answers to AdmissionReviews: a pod is injected, a pod is admitted or not, a namespace's peers get their uids. What
 * cannot be read is refused. Pure.
 */
import type { InjectConfig } from "../../lib/inject/config.ts";
import { inject } from "../../lib/inject/inject.ts";
import type { PodTemplate } from "../../lib/inject/inject.ts";
import { readPod } from "../../lib/inject/manifest.ts";
import { explain } from "../../lib/inject/reasons.ts";
import { validateChange, validateNew } from "../../lib/inject/validate.ts";
import { isTree } from "../../lib/json/tree.ts";
import { annotations } from "../../lib/kube/names.ts";
import type { Namespace } from "../../lib/kube/objects.ts";
import { idleMarks, looserMarks, podProblems } from "../../lib/project/marks.ts";
import { isProject, readProjectSettings } from "../../lib/project/settings.ts";
import type { ProjectSettings } from "../../lib/project/settings.ts";

/** `admission.k8s.io/v1`, as far as it is read. */
export type AdmissionRequest = {
  readonly uid: string;
  readonly operation: string;
  readonly namespace?: string;
  readonly object?: unknown;
  readonly oldObject?: unknown;
};

export type PatchStep =
  | { readonly op: "add"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string };

export type Answer = {
  readonly allowed: boolean;
  readonly patch: readonly PatchStep[];
  /** For whoever made the request. */
  readonly message: string | null;
  readonly warnings: readonly string[];
  /** For the metric. */
  readonly outcome: "injected" | "skipped" | "refused" | "admitted";
  readonly reason: string;
  /** The same request may be answered otherwise in a second: clients of Kubernetes then make it again by themselves. */
  readonly retry: boolean;
};

const answer = (changes: Partial<Answer>): Answer => ({
  allowed: true,
  patch: [],
  message: null,
  warnings: [],
  outcome: "admitted",
  reason: "",
  retry: false,
  ...changes,
});

const refusal = (reason: string, message: string): Answer =>
  answer({ allowed: false, outcome: "refused", reason, message });

function podOf(value: unknown): PodTemplate | null {
  const reading = readPod(value);
  return reading.kind === "pod" ? reading.pod : null;
}

export const malformed = refusal("malformed", explain("malformed"));

/**
 * The API server asks about projects only: that it asks and the namespace, read after that, is none, means that the label
 * was taken off a moment ago. Nobody may take that for a pod which needs no proxy; asked again, the API server knows.
 */
const noProject: Answer = answer({
  allowed: false,
  outcome: "refused",
  reason: "project_not_labelled",
  message: "project_not_labelled: the namespace was a project a moment ago and is none now. Next: try again",
  retry: true,
});

export function injectAnswer(request: AdmissionRequest, namespace: Namespace, config: InjectConfig): Answer {
  if (!isProject(namespace.metadata)) return noProject;
  const pod = podOf(request.object);
  if (pod === null) return malformed;
  const outcome = inject(pod, namespace, config);
  if (outcome.kind === "refused") {
    const { reason, detail } = outcome.report;
    return refusal(reason, explain(reason, detail));
  }
  const patch = patchOf(pod, outcome.pod);
  const warnings = marksWarnings(pod, readProjectSettings(namespace.metadata, config.defaultMode).settings);
  if (outcome.kind === "skipped") {
    const { reason } = outcome.report;
    return answer({ patch, outcome: "skipped", reason, warnings: [`not protected: ${explain(reason)}`, ...warnings] });
  }
  return answer({ patch, outcome: "injected", warnings });
}

/** The API server cuts what is longer than this in sum. */
const mostWarnings = 8;

const marksWarnings = ({ metadata = {} }: PodTemplate, project: ProjectSettings): readonly string[] =>
  [...podProblems(metadata), ...idleMarks("pod", metadata), ...looserMarks(metadata, project)].slice(0, mostWarnings);

/** The parts that injection touches, as wholes: `add` replaces what is there (RFC 6902, 4.1). */
function patchOf(before: PodTemplate, after: PodTemplate): readonly PatchStep[] {
  const parts: readonly (readonly [path: string, before: unknown, after: unknown])[] = [
    ["/metadata/annotations", before.metadata?.annotations, after.metadata?.annotations],
    ["/spec/initContainers", before.spec.initContainers, after.spec.initContainers],
    ["/spec/containers", before.spec.containers, after.spec.containers],
    ["/spec/volumes", before.spec.volumes, after.spec.volumes],
  ];
  return parts
    .filter(([, old, fresh]) => JSON.stringify(old) !== JSON.stringify(fresh))
    .map(([path, , value]) => (value === undefined ? { op: "remove", path } : { op: "add", path, value }));
}

export function createAnswer(request: AdmissionRequest, namespace: Namespace, config: InjectConfig): Answer {
  if (!isProject(namespace.metadata)) return noProject;
  const pod = podOf(request.object);
  return pod === null ? malformed : verdictAnswer(validateNew(pod, namespace, config));
}

/** What is ours in a pod stays as it is, whatever its namespace has become. */
export function changeAnswer(request: AdmissionRequest): Answer {
  const [old, pod] = [podOf(request.oldObject), podOf(request.object)];
  return old === null || pod === null ? malformed : verdictAnswer(validateChange(old, pod));
}

const verdictAnswer = (verdict: ReturnType<typeof validateChange>): Answer =>
  verdict.kind === "admitted"
    ? answer({})
    : { ...refusal(verdict.reason, verdict.message), retry: verdict.reason === "upgrade_under_way" };

export const namespaceName = /^[a-z0-9-]{1,63}$/;
/** Each is looked up while the API server waits. */
const mostLookUps = 64;

export type Peers = {
  readonly kind: "peers";
  readonly text: string;
  readonly entries: ReadonlySet<string>;
  /** The entries without a uid. */
  readonly names: readonly string[];
};

/**
 * `answer`: there is nothing to look up, or too much. What an update of a project leaves as it was is not completed: whoever wrote
 * a name meant the namespace that there was, and who changes something else now may not know of the list.
 */
export function readPeers(request: AdmissionRequest): Peers | { readonly kind: "answer"; readonly answer: Answer } {
  const text = peersText(request.object);
  if (text === undefined) return { kind: "answer", answer: answer({}) };
  if (text === null) return { kind: "answer", answer: malformed };
  if (wasProject(request.oldObject) && peersText(request.oldObject) === text)
    return { kind: "answer", answer: answer({}) };
  const entries = new Set(text.split(",").map((entry) => entry.trim()));
  entries.delete("");
  const names = [...entries].filter((entry) => !entry.includes("/"));
  if (names.length > mostLookUps)
    return { kind: "answer", answer: refusal("too_many_peers", explain("too_many_peers", `${names.length} names`)) };
  return { kind: "peers", text, entries, names };
}

const wasProject = (old: unknown): boolean => isTree(old) && isTree(old["metadata"]) && isProject(old["metadata"]);

/** Undefined where there is no such annotation, null where the object is no namespace. */
function peersText(object: unknown): string | null | undefined {
  if (!isTree(object) || !isTree(object["metadata"])) return null;
  const marks = object["metadata"]["annotations"];
  const text = isTree(marks) ? marks[annotations.peers] : undefined;
  return text === undefined || typeof text === "string" ? text : null;
}

/** `uids` has the uid of each namespace that exists. */
export function peersAnswer({ text, entries, names }: Peers, uids: ReadonlyMap<string, string>): Answer {
  const warnings = names
    .filter((name) => !uids.has(name))
    .map((name) => `${annotations.peers}: there is no namespace ${name} yet; when there is, write ${name}/UID`);
  const value = [...entries].map((entry) => (uids.has(entry) ? `${entry}/${uids.get(entry)}` : entry)).join(",");
  const path = `/metadata/annotations/${annotations.peers.replaceAll("~", "~0").replaceAll("/", "~1")}`;
  return answer({ warnings, patch: value === text ? [] : [{ op: "add", path, value }] });
}
