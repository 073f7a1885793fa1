/** Finds the pod, or the template of pods, in a manifest of any kind that has one, and the objects in a list. Pure. */
import type { PodTemplate } from "./inject.ts";

type Tree = Readonly<Record<string, unknown>>;

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

const isTree = (value: unknown): value is Tree => typeof value === "object" && value !== null;

export type Found = {
  readonly kind: "found";
  readonly pod: PodTemplate;
  /** The manifest with another pod in its place. */
  with(pod: PodTemplate): Tree;
};

/** `none`: a kind that has no pods. */
export function findPod(manifest: unknown): Found | { readonly kind: "none" } {
  if (!isTree(manifest)) return { kind: "none" };
  const path = Object.hasOwn(paths, String(manifest["kind"])) ? paths[String(manifest["kind"])]! : null;
  if (path === null) return { kind: "none" };
  let at: unknown = manifest;
  for (const step of path) at = isTree(at) ? at[step] : undefined;
  if (!isTree(at) || !isTree(at["spec"]) || !Array.isArray(at["spec"]["containers"])) return { kind: "none" };
  const pod = at as unknown as PodTemplate;
  return { kind: "found", pod, with: (changed) => replaced(manifest, path, changed) };
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
