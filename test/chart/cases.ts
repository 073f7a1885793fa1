/** The values with which the chart is rendered: each case is one golden file, and is given to a real API server. */
import type { Values } from "./helm.ts";

const digest = `sha256:${"0123456789abcdef".repeat(4)}`;

export const cases: Readonly<Record<string, Values>> = {
  default: {},
  "short-lived": { "ca.leafTtl": "40s", "ca.rateLimit": 1000, mode: "strict" },
  "long-lived": { "ca.leafTtl": "30d" },
  permissive: { mode: "permissive", trustDomain: "mesh.example.org", logLevel: "debug" },
  "one-replica": { replicas: 1, priorityClassName: "", "networkPolicy.enabled": false },
  "own-registry": {
    "image.registry": "registry.example.org:5000/mirror/",
    "image.tag": "1.2.3",
    "image.pullPolicy": "Always",
    "image.pullSecrets": ["pull"],
  },
  digests: {
    "image.init.digest": digest,
    "image.proxy.digest": digest,
    "image.controlPlane.digest": digest,
    "ca.acceptedInitImages": ["old.example.org/init:0.0.9"],
    "ca.acceptedProxyImages": ["old.example.org/proxy:0.0.9"],
  },
  "brought-root": { "ca.namespace.create": false, "ca.root.existingSecret": "corporate-root" },
  tuned: {
    "ca.rateLimit": 100,
    "ca.rateBurst": 150,
    "ca.sourceCheck": "warn",
    "proxy.uid": 4200,
    "proxy.resources": { requests: { cpu: 1, memory: "1Gi" }, limits: { cpu: "1500m", memory: "2Gi" } },
    clusterRanges: ["10.0.0.0/8", "fd00::/48"],
    "telemetry.otlpEndpoint": "http://collector.observability.svc:4318",
    "webhook.timeoutSeconds": 10,
  },
  openshift: { "openshift.enabled": true },
};

/** Values that must be refused, and what the refusal has to say. */
export const refused: readonly { readonly values: Values; readonly says: RegExp }[] = [
  { values: { nonsense: 1 }, says: /additional properties 'nonsense' not allowed/ },
  { values: { "ca.nonsense": 1 }, says: /at '\/ca': additional properties 'nonsense' not allowed/ },
  { values: { "image.proxy.tag": "x" }, says: /at '\/image\/proxy': additional properties 'tag'/ },
  { values: { mode: "lax" }, says: /at '\/mode': value must be one of 'permissive', 'project', 'strict'/ },
  { values: { trustDomain: "Example.org" }, says: /at '\/trustDomain'/ },
  { values: { trustDomain: "example..org" }, says: /at '\/trustDomain'/ },
  { values: { replicas: 0 }, says: /at '\/replicas': minimum/ },
  { values: { "ca.leafTtl": 40 }, says: /at '\/ca\/leafTtl': got number, want string/ },
  { values: { "ca.leafTtl": "1h30m" }, says: /at '\/ca\/leafTtl'/ },
  { values: { "ca.leafTtl": "9s" }, says: /ca\.leafTtl is "9s": the ca issues certificates for 10s to 30d/ },
  { values: { "ca.leafTtl": "31d" }, says: /ca\.leafTtl is "31d"/ },
  { values: { "ca.rateLimit": 0 }, says: /at '\/ca\/rateLimit': minimum/ },
  { values: { "ca.sourceCheck": "off" }, says: /at '\/ca\/sourceCheck'/ },
  { values: { "ca.acceptedInitImages": [""] }, says: /at '\/ca\/acceptedInitImages\/0'/ },
  { values: { "ca.acceptedProxyImages": ["a,b"] }, says: /at '\/ca\/acceptedProxyImages\/0'/ },
  {
    values: { "ca.root.existingSecret": "mine" },
    says: /existingSecret is "mine", and the namespace .* is yet to be made/,
  },
  { values: { "ca.root.existingSecret": "Not A Name" }, says: /at '\/ca\/root\/existingSecret'/ },
  { values: { "image.proxy.digest": "sha256:12" }, says: /at '\/image\/proxy\/digest'/ },
  { values: { "image.pullPolicy": "Sometimes" }, says: /at '\/image\/pullPolicy'/ },
  { values: { "proxy.uid": 0 }, says: /at '\/proxy\/uid': minimum/ },
  { values: { "proxy.resources.limits.memory": 2147483648 }, says: /memory': got number, want string/ },
  { values: { "proxy.resources.limits.memory": "much" }, says: /at '\/proxy\/resources\/limits\/memory'/ },
  { values: { "proxy.resources.requests.cpu": -1 }, says: /cpu': minimum: got -1, want 0/ },
  {
    values: { "proxy.resources.requests.memory": "1Gi" },
    says: /proxy\.resources\.requests\.memory is 1Gi, more than proxy\.resources\.limits\.memory, which is 256Mi/,
  },
  {
    values: { "proxy.resources.limits.cpu": "19m" },
    says: /requests\.cpu is 20m, more than proxy\.resources\.limits\.cpu/,
  },
  {
    values: { "proxy.resources.limits.cpu": 0 },
    says: /requests\.cpu is 20m, more than proxy\.resources\.limits\.cpu/,
  },
  ...["10.0.0.0", "999.0.0.0/8", "10.0.0.0/33", "10/0.0.0/8", "fd00::/129", "10.0.0/8"].map((range) => ({
    values: { clusterRanges: [range] },
    says: /at '\/clusterRanges\/0'/,
  })),
  { values: { "telemetry.otlpEndpoint": "http://user:word@collector" }, says: /at '\/telemetry\/otlpEndpoint'/ },
  { values: { "webhook.timeoutSeconds": 31 }, says: /at '\/webhook\/timeoutSeconds': maximum/ },
  { values: { "openshift.enabled": "yes" }, says: /at '\/openshift\/enabled': got string, want boolean/ },
];
