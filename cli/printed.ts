/**
 * The chart as manifests for `kubectl apply`, which knows no hooks and makes no release namespace: that namespace comes
 * first, what Helm would run after the installation comes last as ordinary objects, and the hooks of other moments (tests,
 * the deletion) are left out, as they would run at once and stay. Pure.
 */
import { isMap } from "yaml";
import type { Document } from "yaml";
import { readManifests, writeManifest } from "./manifests.ts";

export type Verb = "install" | "upgrade";

const hookPrefix = "helm.sh/";

/** `stream` is what `helm template` writes, hooks included. */
export function printable(stream: string, namespace: string, verb: Verb): string {
  const documents = readManifests(stream).filter(({ contents }) => contents !== null);
  const objects = documents.filter((document) => hooksOf(document) === null);
  const hooks = documents.filter((document) => hooksOf(document)?.includes(`post-${verb}`) === true);
  const first = writeManifest({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  return [first, ...objects.map(textOf), ...hooks.map((hook) => textOf(withoutHook(hook)))].join("---\n");
}

/** The moments at which Helm runs it; null for an object that is no hook. */
function hooksOf(document: Document.Parsed): readonly string[] | null {
  const moments = document.getIn(["metadata", "annotations", `${hookPrefix}hook`]);
  return typeof moments === "string" ? moments.split(",").map((moment) => moment.trim()) : null;
}

/** The same as an ordinary object: Helm's annotations mean nothing on it. */
function withoutHook(document: Document.Parsed): Document.Parsed {
  const path = ["metadata", "annotations"];
  const annotations = document.getIn(path);
  if (!isMap(annotations)) return document;
  for (const name of annotations.items.map(({ key }) => String(key)))
    if (name.startsWith(hookPrefix)) document.deleteIn([...path, name]);
  if (annotations.items.length === 0) document.deleteIn(path);
  return document;
}

/** Without the document's own marks: they are set between all of them. */
function textOf(document: Document.Parsed): string {
  document.directives.docStart = null;
  document.directives.docEnd = false;
  return document.toString({ lineWidth: 0 });
}
