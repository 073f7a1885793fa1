/**
 * Whether the API server reaches the webhooks: in front of a controller that is ready there may be a firewall, and then no
 * pod of a project can be made. It is asked to make one, and to keep nothing of it.
 */
import { KubeError } from "../../lib/kube/client.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { listAll } from "../../lib/kube/list.ts";
import { containers } from "../../lib/kube/names.ts";
import type { Namespace, Pod } from "../../lib/kube/objects.ts";
import { isProject, readProjectSettings } from "../../lib/project/settings.ts";
import { canBeProject } from "../project.ts";
import type { Trial, WebhookConfiguration } from "./facts.ts";
import { finding, notKnown } from "./finding.ts";
import type { Judged } from "./finding.ts";
import { readable } from "./readable.ts";

const unreached = /failed calling webhook "[a-z]+\.tencrypt\.io"/;
/** By what looks at a pod when the webhooks that change it have done so. */
const refusedLater = /(?:exceeded|failed) quota|violates PodSecurity|ValidatingAdmissionPolicy/;
const ours = /^[a-z]+\.tencrypt\.io$/;
const denied = /admission webhook "([^"]+)" denied/;

/** Null where there is no project to try it in. */
export async function tryPod(client: KubeClient, projects: readonly Namespace[]): Promise<Trial | null> {
  const project = projects.find(wouldInject)?.metadata.name;
  if (project === undefined) return null;
  try {
    const pod = await client.create<Pod>(`/api/v1/namespaces/${project}/pods?dryRun=All`, {
      metadata: { generateName: "tencrypt-check-" },
      spec: { containers: [{ name: "check", image: "check" }] },
    });
    const isProtected = pod.spec.initContainers?.some(({ name }) => name === containers.proxy) === true;
    return { kind: isProtected ? "reached" : "bare", project };
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    const why = error.message;
    if (unreached.test(why)) return { kind: "unreached", project, why };
    const isReached = refusedLater.test(why) || (await deniedLater(client, denied.exec(why)?.[1]));
    return isReached ? { kind: "reached", project } : { kind: "unknown", project, why };
  }
}

/** One that changes pods may deny before ours are called; one that only looks at them comes after all of these. */
async function deniedLater(client: KubeClient, webhook: string | undefined): Promise<boolean> {
  if (webhook === undefined || ours.test(webhook)) return webhook !== undefined;
  const path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
  const mutating = await readable("webhooks", listAll<WebhookConfiguration>(client, path));
  if (mutating.kind === "unreadable") return false;
  return !mutating.value.some(({ webhooks = [] }) => webhooks.some(({ name }) => name === webhook));
}

const wouldInject = (namespace: Namespace): boolean =>
  isProject(namespace.metadata) &&
  canBeProject(namespace) &&
  namespace.metadata.deletionTimestamp === undefined &&
  readProjectSettings(namespace.metadata, "project").settings.defaultInjection;

export function judgeTrial(trial: Trial | null): readonly Judged[] {
  switch (trial?.kind) {
    case undefined:
      return [];
    case "reached":
      return [finding("TC-WH-04", "good", `the API server reaches the webhooks, as a pod of ${trial.project} shows`)];
    case "bare":
      return [finding("TC-WH-04", "failed", `a pod of project ${trial.project} would be made without a proxy`)];
    case "unreached":
      return [
        finding("TC-WH-04", "failed", "the API server does not reach the webhooks: no pod can be made", [trial.why]),
      ];
    case "unknown":
      return [
        notKnown("TC-WH-04", "TC-K8S-05", "whether the API server reaches the webhooks is not known", [trial.why]),
      ];
  }
}
