/** Finds the pod, or the template of pods, in a manifest of any kind that has one, and the objects in a list. Pure. */
import { isTree } from "../json/tree.ts";
import type { Tree } from "../json/tree.ts";
import type { PodTemplate } from "./inject.ts";

/** Where each kind keeps its pod. */
const paths: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  PodTemplate: ["template"],
  Deployment: ["spec", "template"],
  ReplicaSet: ["spec", "template"],
  ReplicationController: ["spec", "template"],
  StatefulSet: ["spec", "template"],
  DaemonSet: ["spec", "template"],
  DeploymentConfig: ["spec", "template"],
  Job: ["spec", "template"],
  CronJob: ["spec", "jobTemplate", "spec", "template"],
};

export type Found = {
  readonly kind: "found";
  readonly pod: PodTemplate;
  /** The manifest with another pod in its place. */
  with(pod: PodTemplate): Tree;
};

/** `fault`: what of it is not as it has to be, to be looked at. */
export type Malformed = { readonly kind: "malformed"; readonly fault: string };

/** `none`: a kind that has no pods; `unknown`: it looks as if it had some, and where they are is not known. */
export type Finding = Found | Malformed | { readonly kind: "none" } | { readonly kind: "unknown" };

export function findPod(written: unknown): Finding {
  if (!isTree(written)) return { kind: "malformed", fault: "it is no object" };
  const manifest = withoutNulls(written) as Tree;
  const kind = String(manifest["kind"]);
  // What has no pods is written as it was read, and judged by whoever applies it.
  if (!Object.hasOwn(paths, kind)) return { kind: hasPodShape(manifest) ? "unknown" : "none" };
  const faulty = metadataFault(manifest["metadata"]);
  if (faulty !== null) return { kind: "malformed", fault: faulty };
  const path = paths[kind]!;
  const at = below(manifest, path);
  if (at === undefined) return { kind: "unknown" };
  const reading = readPod(at);
  if (reading.kind === "malformed") return { ...reading, fault: [...path, reading.fault].join(".") };
  return { kind: "found", pod: reading.pod, with: (changed) => replaced(manifest, path, changed) };
}

/** A field that is written with nothing behind it is absent to the API server; kubectl leaves it out in maps too. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isTree(value)) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(fields.map(([name, field]) => [name, withoutNulls(field)]));
}

const below = (manifest: Tree, path: readonly string[]): unknown =>
  path.reduce<unknown>((at, step) => (isTree(at) ? at[step] : undefined), manifest);

const hasPodShape = (manifest: Tree): boolean =>
  [...new Set(Object.values(paths))].some((path) => below(manifest, [...path, "spec", "containers"]) !== undefined);

/** As much of a pod as injection looks at; the API server checks what it admits itself, a file is checked by nobody. */
export function readPod(value: unknown): { readonly kind: "pod"; readonly pod: PodTemplate } | Malformed {
  const fault = isTree(value) ? (metadataFault(value["metadata"]) ?? specFault(value["spec"])) : "it is no object";
  return fault === null ? { kind: "pod", pod: value as PodTemplate } : { kind: "malformed", fault };
}

function metadataFault(metadata: unknown): string | null {
  if (metadata === undefined) return null;
  if (!isTree(metadata)) return "metadata is no object";
  const text = ["name", "namespace"].find((field) => !isTextOrAbsent(metadata[field]));
  if (text !== undefined) return `metadata.${text} is no text`;
  const marks = ["labels", "annotations"].find((field) => !isTextMap(metadata[field] ?? {}));
  return marks === undefined ? null : `metadata.${marks} has a value that is no text`;
}

const isTextOrAbsent = (value: unknown): boolean => value === undefined || typeof value === "string";
const isTextMap = (value: unknown): boolean =>
  isTree(value) && Object.values(value).every((each) => typeof each === "string");

function specFault(spec: unknown): string | null {
  if (!isTree(spec)) return "spec is no object";
  const lists = ["containers", "initContainers", "ephemeralContainers", "volumes"] as const;
  const list = lists.find((name) => !isNamedList(name === "containers" ? spec[name] : (spec[name] ?? [])));
  if (list !== undefined) return `spec.${list} is no list of objects with a name`;
  if (!isTree(spec["securityContext"] ?? {})) return "spec.securityContext is no object";
  const volume = ((spec["volumes"] ?? []) as readonly Tree[]).find((each) => !areTrees(sourcesOf(each)));
  if (volume !== undefined) return `spec: sources of volume ${String(volume["name"])} is no list of objects`;
  const containers = lists.slice(0, 3).flatMap((name) => (spec[name] ?? []) as readonly Tree[]);
  return containers.map(containerFault).find((fault) => fault !== null) ?? null;
}

const sourcesOf = (volume: Tree): unknown => below(volume, ["projected", "sources"]) ?? [];
const areTrees = (list: unknown): boolean => Array.isArray(list) && list.every(isTree);
const isNamedList = (list: unknown): boolean =>
  areTrees(list) && (list as readonly Tree[]).every(({ name }) => typeof name === "string");

const listsOfContainer = ["env", "ports", "volumeMounts"] as const;

function containerFault(container: Tree): string | null {
  const where = `of container ${String(container["name"])}`;
  const list = listsOfContainer.find((name) => !areTrees(container[name] ?? []));
  if (list !== undefined) return `spec: ${list} ${where} is no list of objects`;
  if (!isTree(container["securityContext"] ?? {})) return `spec: securityContext ${where} is no object`;
  const added = below(container, ["securityContext", "capabilities", "add"]) ?? [];
  const isTexts = Array.isArray(added) && added.every((each) => typeof each === "string");
  return isTexts ? null : `spec: added capabilities ${where} are no list of texts`;
}

export type Items = {
  readonly items: readonly unknown[];
  /** The list with others in their place. */
  with(items: readonly unknown[]): Tree;
};

/** The objects in a list (`kubectl get` prints one, of kind List); null for a manifest that is none. */
export function itemsOf(manifest: unknown): Items | null {
  if (!isTree(manifest) || !Array.isArray(manifest["items"])) return null;
  const [, ofKind] = /^(.*)List$/.exec(String(manifest["kind"])) ?? [];
  if (ofKind === undefined) return null;
  // In a typed list (PodList) the objects do not say what they are.
  const items = (manifest["items"] as readonly unknown[]).map((item) =>
    ofKind === "" || !isTree(item) ? item : { apiVersion: manifest["apiVersion"], kind: ofKind, ...item },
  );
  return { items, with: (changed) => ({ ...manifest, items: changed }) };
}

function replaced(tree: Tree, [step, ...rest]: readonly string[], pod: PodTemplate): Tree {
  if (step === undefined) return { ...tree, ...pod };
  return { ...tree, [step]: replaced(tree[step] as Tree, rest, pod) };
}
