/** The spec of a pod as injection makes it, and as somebody could make it look like that. */
import type { InjectConfig } from "../../lib/inject/config.ts";
import { inject } from "../../lib/inject/inject.ts";
import type { Container } from "../../lib/kube/objects.ts";
import type { Json } from "./client.ts";

export const initImage = "localhost/tencrypt/init:test";
export const proxyImage = "localhost/tencrypt/proxy:test";

export type ProtectedOptions = {
  readonly mode?: string;
  readonly image?: string;
  readonly changes?: Json;
  /** Of tencrypt-init, and of tencrypt-proxy. */
  readonly init?: Json;
  readonly proxy?: Json;
};

export type ProtectedSpec = Json & { readonly initContainers: readonly Container[]; readonly volumes: readonly Json[] };

/** As of an installation with nothing set. */
export const injection: InjectConfig = {
  version: "test",
  trustDomain: "cluster.local",
  defaultMode: "strict",
  initImage,
  proxyImage,
  imagePullPolicy: "IfNotPresent",
  proxyUid: 1337,
  caAddress: "tencrypt-ca.tencrypt-ca.svc:15012",
  directoryAddress: "tencrypt-controller.tencrypt-system.svc:15013",
  rootPem: "",
  rootPins: [],
  maxLeafLifetime: "48h",
  otlpEndpoint: null,
  requests: {},
  limits: {},
};

export function protectedSpec({
  mode = "strict",
  image = proxyImage,
  changes = {},
  init: initChanges = {},
  proxy: proxyChanges = {},
}: ProtectedOptions = {}): ProtectedSpec {
  const namespace = {
    metadata: { labels: { "tencrypt.io/project": "enabled" }, annotations: { "tencrypt.io/mode": mode } },
  };
  const outcome = inject({ spec: { containers: [] } }, namespace, { ...injection, proxyImage: image });
  if (outcome.kind !== "injected") throw new Error(outcome.report.reason);
  const { initContainers = [], volumes = [] } = outcome.pod.spec;
  const [init, proxy] = initContainers as readonly [Container, Container];
  return {
    initContainers: [
      { ...init, ...initChanges },
      { ...proxy, ...proxyChanges },
    ],
    automountServiceAccountToken: false,
    volumes,
    ...changes,
  };
}
