/** `tencrypt inject FILE|-`: manifests as the webhook would make them, for a look or for clusters without it. */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { Settings, SettingsError } from "../../lib/config/settings.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { control, projectLabel, rootConfigMap } from "../../lib/kube/names.ts";
import type { ConfigMap, Namespace } from "../../lib/kube/objects.ts";
import { inject } from "../../lib/inject/inject.ts";
import { injectConfig, readInjection } from "../../lib/inject/config.ts";
import type { InjectConfig, InjectionSettings } from "../../lib/inject/config.ts";
import { findPod, itemsOf } from "../../lib/inject/manifest.ts";
import { explain } from "../../lib/inject/reasons.ts";
import { exitCodes } from "../../lib/lifecycle/exit-codes.ts";
import { idleMarks, looserMarks, podProblems } from "../../lib/project/marks.ts";
import { readProjectSettings } from "../../lib/project/settings.ts";
import { version as ownVersion } from "../../lib/version.ts";
import { isOfOwnVersion, variablesOf, versionOf } from "../checks/deployed.ts";
import type { Deployment } from "../checks/facts.ts";
import { withCluster } from "../cluster.ts";
import type { Cluster, Connection } from "../cluster.ts";
import { Failure } from "../failure.ts";
import { readManifests, writeManifest } from "../manifests.ts";
import type { Terminal } from "../terminal.ts";

export type InjectOptions = Connection & { readonly namespace?: string };

export async function injectFile(file: string, options: InjectOptions, screen: Terminal): Promise<number> {
  const documents = readDocuments(file);
  const outcomes = await withCluster(options, async (cluster) => {
    const { controller, root } = await installed(cluster);
    const config = injectConfig(settingsOf(controller), [rootOf(root)]);
    if (!isOfOwnVersion(controller)) screen.note(otherVersion(controller));
    const namespaceOf = namespaces(cluster, options);
    return Promise.all(documents.map((manifest) => injectEach(manifest, config, namespaceOf)));
  });
  screen.data(outcomes.map(({ manifest }) => writeManifest(manifest)).join("---\n"));
  for (const { notes } of outcomes) for (const note of notes) screen.note(`${note}\n`);
  return outcomes.some(({ refused }) => refused) ? exitCodes.failed : exitCodes.done;
}

function readDocuments(file: string): readonly unknown[] {
  return readManifests(textOf(file)).flatMap((document, index) => {
    const [error] = document.errors;
    if (error !== undefined) throw unusable(`${file} is no YAML: ${error.message}`);
    const value = plain(document, file);
    if (value === null) return [];
    if (typeof value !== "object" || Array.isArray(value))
      throw unusable(`document ${index + 1} of ${file} is no object`);
    return [value];
  });
}

const unusable = (message: string): Failure => new Failure(message, "mend the file", exitCodes.badConfiguration);

function textOf(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw unusable(`${file} cannot be read: ${(error as Error).message}`);
  }
}

/** Aliases are followed here: one that names nothing, or that grows without bound, is known only then. */
function plain(document: ReturnType<typeof readManifests>[number], file: string): unknown {
  try {
    return document.toJS() as unknown;
  } catch (error) {
    throw unusable(`${file} is no YAML that can be read: ${(error as Error).message}`);
  }
}

type Outcome = { readonly manifest: unknown; readonly notes: readonly string[]; readonly refused: boolean };
type Head = {
  readonly kind?: string;
  readonly metadata?: { readonly name?: string; readonly namespace?: string } | null;
};
type NamespaceOf = (named: string | undefined) => Promise<Pick<Namespace, "metadata">>;

async function injectEach(manifest: unknown, config: InjectConfig, namespaceOf: NamespaceOf): Promise<Outcome> {
  const list = itemsOf(manifest);
  if (list === null) return injectOne(manifest, config, namespaceOf);
  const outcomes = await Promise.all(list.items.map((item) => injectEach(item, config, namespaceOf)));
  return {
    manifest: list.with(outcomes.map((outcome) => outcome.manifest)),
    notes: outcomes.flatMap(({ notes }) => notes),
    refused: outcomes.some(({ refused }) => refused),
  };
}

async function injectOne(manifest: unknown, config: InjectConfig, namespaceOf: NamespaceOf): Promise<Outcome> {
  const found = findPod(manifest);
  if (found.kind === "none") return { manifest, notes: [], refused: false };
  const { metadata = {}, kind = "" } = (manifest ?? {}) as Head;
  const what = `${kind}/${metadata?.name ?? ""}`;
  if (found.kind === "malformed") throw unusable(`${what} cannot be injected: ${found.fault}`);
  if (found.kind === "unknown") return { manifest, notes: [`${what}: no pod found, unchanged`], refused: false };
  const namespace = await namespaceOf(metadata?.namespace);
  const outcome = inject(found.pod, namespace, config);
  const marked = found.pod.metadata ?? {};
  const { settings } = readProjectSettings(namespace.metadata, config.defaultMode);
  const marks = [...podProblems(marked), ...idleMarks("pod", marked), ...looserMarks(marked, settings)];
  const notes = marks.map((mark) => `${what}: ${mark}`);
  switch (outcome.kind) {
    case "refused": {
      const { reason, detail } = outcome.report;
      return { manifest, notes: [`${what} refused: ${explain(reason, detail)}`, ...notes], refused: true };
    }
    case "skipped": {
      const why = `${what} not injected: ${explain(outcome.report.reason)}`;
      return { manifest: found.with(outcome.pod), notes: [why, ...notes], refused: false };
    }
    case "injected":
      return { manifest: found.with(outcome.pod), notes, refused: false };
  }
}

/** Each is asked for once. */
function namespaces({ client, namespace }: Cluster, options: InjectOptions): NamespaceOf {
  const asked = new Map<string, ReturnType<NamespaceOf>>();
  return (named) => {
    const name = named ?? options.namespace ?? namespace;
    const found = asked.get(name) ?? namespaceNamed(name, client);
    asked.set(name, found);
    return found;
  };
}

/** A namespace that is to be made later is taken for a project: nobody injects by hand for another one. */
async function namespaceNamed(name: string, client: KubeClient): ReturnType<NamespaceOf> {
  const found = await client.find<Namespace>(`/api/v1/namespaces/${encodeURIComponent(name)}`);
  return found ?? { metadata: { name, uid: "", resourceVersion: "", labels: { [projectLabel]: "enabled" } } };
}

const otherVersion = (controller: Deployment): string =>
  `the installed controller is of version ${versionOf(controller)}, this command of ${ownVersion}: ` +
  "its webhook may make other pods of these\n";

type Installed = { readonly controller: Deployment; readonly root: ConfigMap | null };

/** By whose settings pods are injected, and the root that they believe. */
async function installed({ client }: Cluster): Promise<Installed> {
  const deployments = `/apis/apps/v1/namespaces/${control.controller.namespace}/deployments`;
  const rootMap = `/api/v1/namespaces/${control.ca.namespace}/configmaps/${rootConfigMap.name}`;
  const [controller, root] = await Promise.all([
    client.find<Deployment>(`${deployments}/tencrypt-controller`),
    client.find<ConfigMap>(rootMap),
  ]);
  if (controller !== null) return { controller, root };
  throw new Failure("Tencrypt is not installed on this cluster: there is nothing to inject", "tencrypt install");
}

/** A proxy that is given no root believes nobody, and its pod would not start. */
function rootOf(root: ConfigMap | null): string {
  const { name, key } = rootConfigMap;
  const pem = root?.data?.[key] ?? "";
  try {
    void new X509Certificate(pem);
    return pem;
  } catch {
    const where = `ConfigMap ${name} in ${control.ca.namespace}`;
    throw new Failure(`no root is published: ${where} has no certificate as ${key}`, "tencrypt check");
  }
}

/** What the controller itself would not start with is not put into pods either. */
function settingsOf(deployment: Deployment): InjectionSettings {
  const settings = new Settings(Object.fromEntries(variablesOf(deployment).map(({ name, value }) => [name, value])));
  try {
    return settings.finish(readInjection(settings));
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    throw new Failure(
      `the installed controller's settings cannot be used: ${error.message}`,
      `kubectl -n ${control.controller.namespace} describe deployment tencrypt-controller`,
    );
  }
}
