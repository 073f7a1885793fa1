/** What `check` reads of a cluster in which everything is well. */
import type {
  AdmissionPolicy,
  Deployment,
  Facts,
  PolicyBinding,
  Webhook,
  WebhookConfiguration,
} from "../../../cli/checks/facts.ts";
import type { Readable } from "../../../cli/checks/readable.ts";
import { admissionPolicies } from "../../../lib/kube/names.ts";
import type { KubeObject } from "../../../lib/kube/objects.ts";
import { newRoot } from "../../../ca/issue/authority.ts";
import { rendered } from "../../chart/rendered.ts";

export const now = Date.UTC(2026, 10, 27);
const root = newRoot(now);
const rootPem = root.certificate;
const caBundle = Buffer.from(rootPem).toString("base64");
export const read = <T>(value: T): { readonly kind: "read"; readonly value: T } => ({ kind: "read", value });

export const deployment = (image: string, ready = 2): Readable<Deployment> =>
  read({
    metadata: { generation: 3 },
    spec: {
      replicas: 2,
      template: { spec: { containers: [{ image, env: [{ name: "TENCRYPT_MODE", value: "project" }] }] } },
    },
    status: { observedGeneration: 3, replicas: 2, updatedReplicas: 2, readyReplicas: ready },
  });
/** As the chart renders it, with our root. */
const chart = rendered("default") as unknown as readonly (KubeObject & { webhooks?: readonly Webhook[] })[];
const named =
  (name: string) =>
  (each: KubeObject): boolean =>
    each.metadata.name === name;

export const configuration = (kind: "Mutating" | "Validating"): WebhookConfiguration => {
  const found = chart.find((each) => each.kind === `${kind}WebhookConfiguration`)!;
  const webhooks = found.webhooks?.map((each) => ({ ...each, clientConfig: { ...each.clientConfig, caBundle } }));
  return { ...found, webhooks: webhooks! };
};
/** The configuration with something else in its first webhook. */
export const withFirst = (
  kind: "Mutating" | "Validating",
  change: Partial<Webhook>,
): Readable<WebhookConfiguration> => {
  const { webhooks: [first, ...rest] = [], ...found } = configuration(kind);
  return read({ ...found, webhooks: [{ ...first!, ...change }, ...rest] });
};
export const policy = (name: string): AdmissionPolicy =>
  chart.filter(({ kind }) => kind === "ValidatingAdmissionPolicy").find(named(name)) as AdmissionPolicy;
export const binding = (name: string): PolicyBinding =>
  chart.filter(({ kind }) => kind === "ValidatingAdmissionPolicyBinding").find(named(name)) as PolicyBinding;

export const goodFacts: Facts = {
  now,
  version: "v1.36.3",
  knowsPolicies: true,
  forbidden: [],
  serverTime: now + 900,
  controller: deployment("x/control-plane:0.1.0"),
  ca: deployment("x/control-plane:0.1.0"),
  mutating: read(configuration("Mutating")),
  validating: read(configuration("Validating")),
  policies: read(admissionPolicies.map(policy)),
  bindings: read(admissionPolicies.map(binding)),
  rootPem: read(rootPem),
  rootSecret: { kind: "found", name: "tencrypt-root", pem: rootPem, fault: null },
  authorities: read([{ project: null, notAfter: now + 700 * 86_400_000 }]),
  sourceMismatches: 0,
  metricsFault: null,
  projects: read([]),
  pods: read([]),
  inits: { nodes: 0, logs: [] },
  trial: { kind: "reached", project: "shop" },
};
