/** What `check` reads of a cluster in which everything is well. */
import type { AdmissionPolicy, Deployment, Facts, PolicyBinding } from "../../../cli/checks/facts.ts";
import type { Readable } from "../../../cli/checks/readable.ts";
import { admissionPolicies } from "../../../lib/kube/names.ts";
import { newRoot } from "../../../ca/issue/authority.ts";

export const now = Date.UTC(2026, 10, 27);
const rootPem = newRoot(now).certificate;
const caBundle = Buffer.from(rootPem).toString("base64");
const metadata = { uid: "1", resourceVersion: "1" };

export const read = <T>(value: T): { readonly kind: "read"; readonly value: T } => ({ kind: "read", value });

export const deployment = (image: string, ready = 2): Readable<Deployment> =>
  read({
    spec: { replicas: 2, template: { spec: { containers: [{ image }] } } },
    status: { readyReplicas: ready },
  });
export const webhook = (name: string): { name: string; failurePolicy: string; clientConfig: { caBundle: string } } => ({
  name,
  failurePolicy: "Fail",
  clientConfig: { caBundle },
});
export const policy = (name: string): AdmissionPolicy => ({
  metadata: { ...metadata, name },
  spec: { failurePolicy: "Fail" },
});
export const binding = (name: string): PolicyBinding => ({
  metadata: { ...metadata, name },
  spec: { policyName: name, validationActions: ["Deny"] },
});

export const goodFacts: Facts = {
  now,
  version: "v1.36.3",
  knowsPolicies: true,
  forbidden: [],
  serverTime: now + 900,
  controller: deployment("x/control-plane:0.1.0"),
  ca: deployment("x/control-plane:0.1.0"),
  mutating: read({ webhooks: [webhook("inject.tencrypt.io"), webhook("peers.tencrypt.io")] }),
  validating: read({ webhooks: [webhook("validate.tencrypt.io")] }),
  policies: read(admissionPolicies.map(policy)),
  bindings: read(admissionPolicies.map(binding)),
  rootPem: read(rootPem),
  authorities: read([{ project: null, notAfter: now + 700 * 86_400_000 }]),
  sourceMismatches: 0,
  projects: read([]),
  pods: read([]),
};
