/** Gathers what `tencrypt check` judges: each fact, or why it could not be had. */
import type { Clock } from "../../lib/clock/clock.ts";
import { KubeError } from "../../lib/kube/client.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { listAll } from "../../lib/kube/list.ts";
import { control, projectLabel, rootConfigMap, webhookConfigurations } from "../../lib/kube/names.ts";
import type { ConfigMap, Namespace, Pod } from "../../lib/kube/objects.ts";
import { isTerminal } from "../../lib/kube/sidecar.ts";
import { podsOf } from "../project.ts";
import { authorities } from "./authorities.ts";
import type { ClusterFacts, Deployment, Facts, PodFact, WebhookConfiguration } from "./facts.ts";
import { initLogs } from "./nodes.ts";
import { read, readable } from "./readable.ts";
import type { Readable } from "./readable.ts";
import { rootSecretOf } from "./root.ts";
import { tryPod } from "./trial.ts";

/** What Helm makes of the chart, in Secrets of its own what it has made; by API group. */
const made: Readonly<Record<string, readonly string[]>> = {
  "": ["namespaces", "secrets", "serviceaccounts", "services"],
  apps: ["deployments"],
  batch: ["jobs"],
  "networking.k8s.io": ["networkpolicies"],
  policy: ["poddisruptionbudgets"],
  "rbac.authorization.k8s.io": ["clusterroles", "clusterrolebindings", "roles", "rolebindings"],
  "admissionregistration.k8s.io": [
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
  ],
};

async function forbidden(client: KubeClient): Promise<readonly string[]> {
  const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const resources = Object.entries(made).flatMap(([group, names]) => names.map((resource) => ({ group, resource })));
  const asked = resources.map(async (attributes) => {
    const { status } = await client.create<{ readonly status?: { readonly allowed?: boolean } }>(path, {
      spec: { resourceAttributes: { verb: "create", ...attributes } },
    });
    return status?.allowed === true ? null : `create ${attributes.resource}`;
  });
  return (await Promise.all(asked)).filter((right) => right !== null);
}

/** `fault`: why those of a replica are not among the texts; null where none is missing. */
type CaMetrics = { readonly texts: readonly string[]; readonly fault: string | null };

async function caMetrics(client: KubeClient): Promise<CaMetrics> {
  const path = `/api/v1/namespaces/${control.ca.namespace}/pods`;
  const pods = await readable("pods of the ca", listAll<Pod>(client, path, "app.kubernetes.io/component=ca"));
  if (pods.kind === "unreadable") return { texts: [], fault: pods.why };
  const replicas = pods.value.filter((pod) => !isTerminal(pod));
  if (replicas.length === 0) return { texts: [], fault: "no pod of the ca is there" };
  const answers = await Promise.all(replicas.map(({ metadata }) => metricsOf(client, `${path}/${metadata.name}`)));
  return {
    texts: answers.flatMap((answer) => (answer.kind === "read" ? [answer.value] : [])),
    fault: answers.find((answer) => answer.kind === "unreadable")?.why ?? null,
  };
}

/** A replica that does not answer is no API server that does not: it ends nothing. */
async function metricsOf(client: KubeClient, pod: string): Promise<Readable<string>> {
  try {
    return read(await client.text(`${pod}:${control.metricsPort}/proxy/metrics`));
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    return { kind: "unreadable", what: "metrics", why: error.message };
  }
}

/** How often callers of the ca came from elsewhere, refused or not, added over its replicas. */
function sourceMismatches({ texts }: CaMetrics): number | null {
  if (texts.length === 0) return null;
  const counted = /^tencrypt_ca_source_mismatches_total ([0-9]+)/gm;
  return texts.flatMap((text) => [...text.matchAll(counted)]).reduce((sum, [, count]) => sum + Number(count), 0);
}

const admission = "/apis/admissionregistration.k8s.io/v1";

/** By discovery, which everybody may read. */
async function knowsPolicies(client: KubeClient): Promise<boolean> {
  const found = await client.find<{ readonly resources: readonly { readonly name: string }[] }>(admission);
  return found?.resources.some(({ name }) => name === "validatingadmissionpolicies") === true;
}

/** One object that may be absent. */
const one = <T>(client: KubeClient, what: string, path: string): Promise<Readable<T | null>> =>
  readable(what, client.find<T>(path));

const every = <T>(client: KubeClient, path: string, selector = ""): Promise<Readable<readonly T[]>> =>
  readable(path.slice(path.lastIndexOf("/") + 1), listAll<T>(client, path, selector));

const deployment = (client: KubeClient, namespace: string, name: string): Promise<Readable<Deployment | null>> =>
  one(client, `deployment ${name}`, `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`);

export async function publishedRoot(client: KubeClient): Promise<Readable<string | null>> {
  const path = `/api/v1/namespaces/${control.ca.namespace}/configmaps/${rootConfigMap.name}`;
  const found = await one<ConfigMap>(client, `configmap ${rootConfigMap.name}`, path);
  return found.kind === "read" ? { ...found, value: found.value?.data?.[rootConfigMap.key] ?? null } : found;
}

/** What can be asked before anything is installed. */
export async function gatherCluster(client: KubeClient, clock: Pick<Clock, "now">): Promise<ClusterFacts> {
  const { gitVersion } = await client.get<{ readonly gitVersion: string }>("/version");
  const serverTime = await client.serverTime();
  return {
    // At once: the two are compared, and any other answer may take long.
    now: clock.now(),
    serverTime,
    version: gitVersion,
    knowsPolicies: await knowsPolicies(client),
    forbidden: await forbidden(client),
  };
}

const isThere = (fact: Readable<unknown>): boolean => fact.kind === "read" && fact.value !== null;

export async function gather(client: KubeClient, clock: Pick<Clock, "now">): Promise<Facts> {
  const cluster = await gatherCluster(client, clock);
  const metrics = await caMetrics(client);
  const configuration = (kind: "mutating" | "validating"): Promise<Readable<WebhookConfiguration | null>> => {
    const plural = `${kind}webhookconfigurations`;
    return one(client, plural, `${admission}/${plural}/${webhookConfigurations[kind]}`);
  };
  const ca = await deployment(client, control.ca.namespace, "tencrypt-ca");
  const [mutating, validating] = [await configuration("mutating"), await configuration("validating")];
  const projects = await every<Namespace>(client, "/api/v1/namespaces", projectLabel);
  const pods = await readable("pods", podsOf<PodFact>(client, projects.kind === "read" ? projects.value : []));
  return {
    ...cluster,
    controller: await deployment(client, control.controller.namespace, "tencrypt-controller"),
    ca,
    mutating,
    validating,
    policies: await every(client, `${admission}/validatingadmissionpolicies`),
    bindings: await every(client, `${admission}/validatingadmissionpolicybindings`),
    rootPem: await publishedRoot(client),
    rootSecret: await rootSecretOf(client, ca),
    authorities: await authorities(client, metrics.texts),
    sourceMismatches: sourceMismatches(metrics),
    metricsFault: metrics.fault,
    projects,
    trial: isThere(mutating) && projects.kind === "read" ? await tryPod(client, projects.value) : null,
    pods,
    inits: await initLogs(client, pods.kind === "read" ? pods.value : []),
  };
}
