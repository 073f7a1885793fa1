/** What `tencrypt check` gathers before it judges: each fact, or why it could not be had. */
import { isStatus, KubeError } from "../../lib/kube/client.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { listAll } from "../../lib/kube/list.ts";
import { control, projectLabel, rootConfigMap, webhookConfigurations } from "../../lib/kube/names.ts";
import type { ConfigMap, Namespace, Pod } from "../../lib/kube/objects.ts";

export type Deployment = {
  readonly spec: {
    readonly replicas?: number;
    readonly template: { readonly spec: { readonly containers: readonly { readonly image?: string }[] } };
  };
  readonly status?: { readonly readyReplicas?: number };
};

export type WebhookConfiguration = {
  readonly webhooks?: readonly {
    readonly name: string;
    readonly failurePolicy?: string;
    readonly clientConfig: { readonly caBundle?: string };
  }[];
};

export type PodFact = Pod & {
  readonly status?: {
    readonly initContainerStatuses?: readonly {
      readonly name: string;
      readonly state?: {
        readonly terminated?: { readonly exitCode: number };
        readonly waiting?: { readonly reason?: string };
      };
    }[];
  };
};

export type Facts = {
  readonly now: number;
  readonly version: string | null;
  readonly policies: boolean;
  /** What an installation needs and the user may not do. */
  readonly forbidden: readonly string[];
  readonly serverTime: number | null;
  readonly controller: Deployment | null;
  readonly ca: Deployment | null;
  readonly mutating: WebhookConfiguration | null;
  readonly validating: WebhookConfiguration | null;
  readonly rootPem: string | null;
  readonly sourceMismatches: number | null;
  readonly projects: readonly Namespace[];
  readonly pods: readonly PodFact[];
};

const rights: readonly (readonly [verb: string, group: string, resource: string])[] = [
  ["create", "", "namespaces"],
  ["create", "apps", "deployments"],
  ["create", "rbac.authorization.k8s.io", "clusterroles"],
  ["create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"],
  ["create", "admissionregistration.k8s.io", "validatingadmissionpolicies"],
];

async function orNull<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (isStatus(error, 403, 404, 503)) return null;
    throw error;
  }
}

async function forbidden(client: KubeClient): Promise<readonly string[]> {
  const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const asked = rights.map(async ([verb, group, resource]) => {
    const { status } = await client.create<{ readonly status?: { readonly allowed?: boolean } }>(path, {
      spec: { resourceAttributes: { verb, group, resource } },
    });
    return status?.allowed === true ? null : `${verb} ${resource}`;
  });
  return (await Promise.all(asked)).filter((right) => right !== null);
}

/** How often callers of the ca came from elsewhere, added over its replicas' metrics. */
async function sourceMismatches(client: KubeClient): Promise<number | null> {
  const { namespace } = control.ca;
  const pods =
    (await orNull(listAll<Pod>(client, `/api/v1/namespaces/${namespace}/pods`, "app.kubernetes.io/name=tencrypt"))) ??
    [];
  const texts = await Promise.all(
    pods.map(({ metadata }) =>
      client
        .text(`/api/v1/namespaces/${namespace}/pods/${metadata.name}:${control.metricsPort}/proxy/metrics`)
        .catch((error: unknown) => (error instanceof KubeError ? "" : Promise.reject(error))),
    ),
  );
  if (texts.every((text) => text === "")) return null;
  const counted = /tencrypt_ca_refusals_total\{[^}]*reason="source_mismatch"[^}]*\} ([0-9]+)/g;
  return texts.flatMap((text) => [...text.matchAll(counted)]).reduce((sum, [, count]) => sum + Number(count), 0);
}

export async function gather(client: KubeClient, now: number): Promise<Facts> {
  const webhooks = "/apis/admissionregistration.k8s.io/v1";
  const { gitVersion } = await client.get<{ readonly gitVersion: string }>("/version");
  const deployment = (namespace: string, name: string): Promise<Deployment | null> =>
    orNull(client.get<Deployment>(`/apis/apps/v1/namespaces/${namespace}/deployments/${name}`));
  const rootMap = `/api/v1/namespaces/${control.ca.namespace}/configmaps/${rootConfigMap.name}`;
  const root = await orNull(client.get<ConfigMap>(rootMap));
  return {
    now,
    version: gitVersion,
    policies: (await orNull(client.get(`${webhooks}/validatingadmissionpolicies?limit=1`))) !== null,
    forbidden: await forbidden(client),
    serverTime: await client.serverTime(),
    controller: await deployment(control.controller.namespace, "tencrypt-controller"),
    ca: await deployment(control.ca.namespace, "tencrypt-ca"),
    mutating: await orNull(client.get(`${webhooks}/mutatingwebhookconfigurations/${webhookConfigurations.mutating}`)),
    validating: await orNull(
      client.get(`${webhooks}/validatingwebhookconfigurations/${webhookConfigurations.validating}`),
    ),
    rootPem: root?.data?.[rootConfigMap.key] ?? null,
    sourceMismatches: await sourceMismatches(client),
    projects: (await orNull(listAll<Namespace>(client, "/api/v1/namespaces", `${projectLabel}=enabled`))) ?? [],
    pods: (await orNull(listAll<PodFact>(client, "/api/v1/pods"))) ?? [],
  };
}
