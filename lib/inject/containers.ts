/**
 * The two containers and three volumes of an injected pod, with every field that the API server would fill in: what is
 * injected and what is found later can be compared byte by byte. Pure.
 */
import { caAudience, containers, podMarks, volumes } from "../kube/names.ts";
import type { Container, EnvVar } from "../kube/objects.ts";
import {
  initMounts,
  initSecurity,
  podFields,
  portSettings,
  proxyMounts,
  proxySecurity,
  terminationMessages,
} from "../kube/sidecar-form.ts";
import { defaultPorts } from "../net/ports.ts";
import type { Mode } from "../project/mode.ts";
import type { Amounts, InjectConfig } from "./config.ts";
import type { Declared } from "./probes.ts";

export type PodFacts = {
  readonly uid: number;
  readonly mode: Mode;
  readonly udp: "allow" | "dns-only";
  readonly declared: Declared;
};

const field = (name: string, fieldPath: string): EnvVar => ({
  name,
  valueFrom: { fieldRef: { apiVersion: "v1", fieldPath } },
});
const text = (name: string, value: string): EnvVar => ({ name, value });
const ports = Object.entries(portSettings).map(([name, port]) => text(name, String(port)));

export const initContainer = (
  config: Pick<InjectConfig, "initImage" | "imagePullPolicy">,
  { uid, udp }: Pick<PodFacts, "uid" | "udp">,
): Container => ({
  name: containers.init,
  image: config.initImage,
  env: [
    text("TENCRYPT_PROXY_UID", String(uid)),
    text("TENCRYPT_UDP", udp),
    // Of the legacy backend, which would want to write it to /run.
    text("XTABLES_LOCKFILE", `${volumes.state.folder}/xtables.lock`),
    ...ports,
  ],
  resources: {},
  volumeMounts: initMounts,
  ...terminationMessages,
  imagePullPolicy: config.imagePullPolicy,
  securityContext: initSecurity,
});

const probe = (path: string, times: { readonly periodSeconds: number; readonly failureThreshold: number }): object => ({
  httpGet: { path, port: defaultPorts.health, scheme: "HTTP" },
  timeoutSeconds: 3,
  periodSeconds: times.periodSeconds,
  successThreshold: 1,
  failureThreshold: times.failureThreshold,
});

const amounts = ({ requests, limits }: InjectConfig): object => {
  const some = (name: string, given: Amounts): object => (Object.keys(given).length === 0 ? {} : { [name]: given });
  return { ...some("limits", limits), ...some("requests", requests) };
};

export const proxyContainer = (config: InjectConfig, facts: PodFacts): Container => ({
  name: containers.proxy,
  image: config.proxyImage,
  restartPolicy: "Always",
  env: environment(config, facts),
  ports: [
    { name: "tencrypt-tunnel", containerPort: defaultPorts.tunnel, protocol: "TCP" },
    { name: "tencrypt-metric", containerPort: defaultPorts.metrics, protocol: "TCP" },
    { name: "tencrypt-health", containerPort: defaultPorts.health, protocol: "TCP" },
  ],
  resources: amounts(config),
  volumeMounts: proxyMounts,
  // Nothing else of the pod starts before there is a certificate, a snapshot, and rules that lead here.
  startupProbe: probe("/ready", { periodSeconds: 1, failureThreshold: 3_600 }),
  readinessProbe: probe("/ready", { periodSeconds: 2, failureThreshold: 3 }),
  livenessProbe: probe("/live", { periodSeconds: 10, failureThreshold: 3 }),
  ...terminationMessages,
  imagePullPolicy: config.imagePullPolicy,
  securityContext: proxySecurity(facts.uid),
});

function environment(config: InjectConfig, { mode, declared }: PodFacts): readonly EnvVar[] {
  const { token, root, state } = volumes;
  return [
    text("TENCRYPT_TRUST_DOMAIN", config.trustDomain),
    ...Object.entries(podFields).map(([name, path]) => field(name, path)),
    text("TENCRYPT_MODE", mode),
    text("TENCRYPT_CA_ADDRESS", config.caAddress),
    text("TENCRYPT_CA_ROOT_FILE", `${root.folder}/${root.file}`),
    text("TENCRYPT_CA_ROOT_PINS", config.rootPins.join(",")),
    text("TENCRYPT_TOKEN_FILE", `${token.folder}/${token.file}`),
    text("TENCRYPT_DIRECTORY_ADDRESS", config.directoryAddress),
    text("TENCRYPT_STATE_DIR", state.folder),
    text("TENCRYPT_MAX_LEAF_LIFETIME", config.maxLeafLifetime),
    ...ports,
    ...(Object.keys(declared).length === 0 ? [] : [text("TENCRYPT_PROBES", JSON.stringify(declared))]),
    ...(config.otlpEndpoint === null ? [] : [text("OTEL_EXPORTER_OTLP_ENDPOINT", config.otlpEndpoint)]),
  ];
}

type Volume = Readonly<Record<string, unknown>> & { readonly name: string };

/** 0644: what the API server would fill in. */
const defaultMode = 420;

export const injectedVolumes: readonly Volume[] = [
  {
    name: volumes.token.name,
    projected: {
      sources: [{ serviceAccountToken: { audience: caAudience, expirationSeconds: 3600, path: volumes.token.file } }],
      defaultMode,
    },
  },
  {
    name: volumes.root.name,
    downwardAPI: {
      items: [
        {
          path: volumes.root.file,
          fieldRef: { apiVersion: "v1", fieldPath: `metadata.annotations['${podMarks.root}']` },
        },
      ],
      defaultMode,
    },
  },
  { name: volumes.state.name, emptyDir: { medium: "Memory", sizeLimit: "64Mi" } },
];
