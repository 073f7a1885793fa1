/** What `check` reads of a cluster in which everything is well. */
import type { Facts } from "../../../cli/checks/facts.ts";
import { newRoot } from "../../../ca/issue/authority.ts";

export const now = Date.UTC(2026, 10, 27);
const rootPem = newRoot(now).certificate;
const caBundle = Buffer.from(rootPem).toString("base64");
export const deployment = (image: string, ready = 2): NonNullable<Facts["ca"]> => ({
  spec: { replicas: 2, template: { spec: { containers: [{ image }] } } },
  status: { readyReplicas: ready },
});
export const webhook = {
  webhooks: [{ name: "inject.tencrypt.io", failurePolicy: "Fail", clientConfig: { caBundle } }],
};

export const goodFacts: Facts = {
  now,
  version: "v1.36.3",
  policies: true,
  forbidden: [],
  serverTime: now + 900,
  controller: deployment("x/control-plane:0.1.0"),
  ca: deployment("x/control-plane:0.1.0"),
  mutating: webhook,
  validating: webhook,
  rootPem,
  sourceMismatches: 0,
  projects: [],
  pods: [],
};
