/**
 * Every name by which the parts of Tencrypt and its users find each other in a cluster: labels, annotations, containers,
 * volumes, Services. Nothing else spells them. Pure.
 */

/** On a namespace: `enabled` makes it a project. */
export const projectLabel = "tencrypt.io/project";

/** What the cluster needs to come up, and what projects need; the chart refuses to make projects of them. */
export const neverProjects: readonly string[] = [
  "kube-system",
  "kube-public",
  "kube-node-lease",
  "tencrypt-system",
  "tencrypt-ca",
];

/** Written by users. Which of them counts where is said in docs/reference.md. */
export const annotations = {
  /** On a namespace: `enabled` (default) or `disabled` for pods that do not say. */
  defaultInjection: "tencrypt.io/default-injection",
  /** On a pod (template): `enabled` or `disabled`. */
  inject: "tencrypt.io/inject",
  mode: "tencrypt.io/mode",
  dryRun: "tencrypt.io/dry-run",
  peers: "tencrypt.io/peers",
  nodeSources: "tencrypt.io/node-sources",
  udp: "tencrypt.io/udp",
  allowFrom: "tencrypt.io/allow-from",
  allowFromDryRun: "tencrypt.io/allow-from-dry-run",
  allowEgress: "tencrypt.io/allow-egress",
  allowIngress: "tencrypt.io/allow-ingress",
} as const;

/** Written by the webhook on pods. */
export const podMarks = {
  /** By which version and configuration the pod was injected. */
  injected: "tencrypt.io/injected",
  /** The skip reason of a pod that was not injected. */
  skipped: "tencrypt.io/skipped",
  /** PEM of the roots, read by the proxy through the downward API and believed by the pins in its environment only. */
  root: "tencrypt.io/root",
} as const;

export const containers = { init: "tencrypt-init", proxy: "tencrypt-proxy" } as const;

export const volumes = {
  token: { name: "tencrypt-token", folder: "/var/run/tencrypt/token", file: "token" },
  root: { name: "tencrypt-root", folder: "/var/run/tencrypt/root", file: "root.pem" },
  state: { name: "tencrypt-state", folder: "/var/run/tencrypt/state" },
} as const;

/** Where the API server mounts a token of its own into every container, unless something is there. */
export const apiTokenFolder = "/var/run/secrets/kubernetes.io/serviceaccount";

export const caAudience = "tencrypt-ca";

export const control = {
  ca: { namespace: "tencrypt-ca", serviceAccount: "tencrypt-ca", service: "tencrypt-ca", port: 15012 },
  controller: {
    namespace: "tencrypt-system",
    serviceAccount: "tencrypt-controller",
    service: "tencrypt-controller",
    directoryPort: 15013,
    webhookPort: 15017,
  },
  /** Metrics and health of both. */
  metricsPort: 15014,
} as const;

/** The names by which Services of the control plane are dialled. */
export const hosts = {
  ca: `${control.ca.service}.${control.ca.namespace}.svc`,
  controller: `${control.controller.service}.${control.controller.namespace}.svc`,
} as const;

/** On the Secret of a project's CA: the project. */
export const projectSecretLabel = "tencrypt.io/authority-of";

/** In the ca's namespace: the root's key pair, and its certificate alone for whoever has to trust it. */
export const rootSecret = "tencrypt-root";
export const rootConfigMap = { name: "tencrypt-root", key: "ca.crt" } as const;

/** Named in the chart; `tencrypt-trust` writes their caBundle once, at installation. */
export const webhookConfigurations = { mutating: "tencrypt", validating: "tencrypt" } as const;
/** The webhooks in them. */
export const webhookNames = {
  mutating: ["inject.tencrypt.io", "peers.tencrypt.io"],
  validating: ["validate.tencrypt.io"],
} as const;
/** ValidatingAdmissionPolicies of the chart that refuse; the binding of each has its name. */
export const admissionPolicies = [
  "tencrypt-exec",
  "tencrypt-never-projects",
  "tencrypt-pods",
  "tencrypt-projects",
  "tencrypt-tokens",
] as const;
/** Those that only warn, so that nothing depends on them. */
export const warningPolicies = ["tencrypt-marks", "tencrypt-template-marks"] as const;
