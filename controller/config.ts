/** The settings of the controller, from environment variables; every problem is reported at once. Pure. */
import { parseDuration, Settings } from "../lib/config/settings.ts";
import type { Environment } from "../lib/config/settings.ts";
import { isName } from "../lib/identity/spiffe-id.ts";
import { control } from "../lib/kube/names.ts";
import type { Level } from "../lib/log/log.ts";
import { parseCidr } from "../lib/net/cidr.ts";
import type { HostPort } from "../lib/net/host-port.ts";
import { modes } from "../lib/project/mode.ts";
import type { Mode } from "../lib/project/mode.ts";

export type Resources = {
  readonly cpuRequest: string | null;
  readonly memoryRequest: string | null;
  readonly cpuLimit: string | null;
  readonly memoryLimit: string | null;
};

export type ControllerConfig = {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly podName: string;
  readonly podUid: string;
  readonly caAddress: string;
  readonly tokenFile: string;
  readonly webhookListen: HostPort;
  readonly directoryListen: HostPort;
  readonly metricsPort: number;
  /** Of projects that name none. */
  readonly mode: Mode;
  /** Empty: what nodes and Service ranges say. */
  readonly clusterRanges: readonly string[];
  readonly maxLeafLifetimeMs: number;
  /** As it is passed on to proxies. */
  readonly maxLeafLifetime: string;
  readonly initImage: string;
  readonly proxyImage: string;
  readonly imagePullPolicy: "Always" | "IfNotPresent" | "Never";
  readonly proxyUid: number;
  readonly resources: Resources;
  /** Of the collector that proxies send spans to; null: none. */
  readonly otlpEndpoint: string | null;
  readonly logLevel: Level;
  /** `TENCRYPT_` variables that nothing read. */
  readonly unread: readonly string[];
};

function ranges(text: string): readonly string[] | null {
  const list = text.split(",").map((part) => parseCidr(part.trim())?.text ?? null);
  return list.every((cidr) => cidr !== null) ? list : null;
}

const quantity = /^[0-9]+(?:\.[0-9]+)?(?:m|k|Ki|M|Mi|G|Gi)?$/;

function resources(settings: Settings): Resources | undefined {
  const read = (name: string): string | null | undefined =>
    settings.read<string | null>(name, null, "an amount such as 50m or 64Mi", (text) =>
      quantity.test(text) ? text : null,
    );
  return settings.whole({
    cpuRequest: read("TENCRYPT_PROXY_CPU_REQUEST"),
    memoryRequest: read("TENCRYPT_PROXY_MEMORY_REQUEST"),
    cpuLimit: read("TENCRYPT_PROXY_CPU_LIMIT"),
    memoryLimit: read("TENCRYPT_PROXY_MEMORY_LIMIT"),
  });
}

const defaultLifetime = "48h";

/** What goes into every injected pod. */
const injected = (settings: Settings) => ({
  initImage: settings.text("TENCRYPT_INIT_IMAGE", undefined, "an image"),
  proxyImage: settings.text("TENCRYPT_PROXY_IMAGE", undefined, "an image"),
  imagePullPolicy: settings.choice("TENCRYPT_IMAGE_PULL_POLICY", ["Always", "IfNotPresent", "Never"], "IfNotPresent"),
  proxyUid: settings.integer("TENCRYPT_PROXY_UID", { min: 1, max: 4_294_967_294 }, 1337),
  resources: resources(settings),
  otlpEndpoint: settings.read<string | null>("OTEL_EXPORTER_OTLP_ENDPOINT", null, "a URL", (text) =>
    URL.canParse(text) ? text : null,
  ),
});

export function readConfig(env: Environment): ControllerConfig {
  const settings = new Settings(env);
  const name = (variable: string): string | undefined =>
    settings.read(variable, undefined, "a Kubernetes name", (text) => (isName(text) ? text : null));
  const maxLeafLifetime = settings.read("TENCRYPT_MAX_LEAF_LIFETIME", defaultLifetime, "a duration", (text) =>
    parseDuration(text) === null ? null : text,
  );
  return settings.finish({
    trustDomain: name("TENCRYPT_TRUST_DOMAIN"),
    namespace: name("TENCRYPT_NAMESPACE"),
    podName: name("TENCRYPT_POD_NAME"),
    podUid: settings.text("TENCRYPT_POD_UID"),
    caAddress: settings.address("TENCRYPT_CA_ADDRESS"),
    tokenFile: settings.text("TENCRYPT_TOKEN_FILE"),
    webhookListen: settings.listen("TENCRYPT_WEBHOOK_LISTEN", control.controller.webhookPort),
    directoryListen: settings.listen("TENCRYPT_DIRECTORY_LISTEN", control.controller.directoryPort),
    metricsPort: settings.port("TENCRYPT_METRICS_PORT", control.metricsPort),
    mode: settings.choice<Mode>("TENCRYPT_MODE", modes, "project"),
    clusterRanges: settings.read<readonly string[]>("TENCRYPT_CLUSTER_RANGES", [], "comma-separated CIDRs", ranges),
    maxLeafLifetime,
    maxLeafLifetimeMs: maxLeafLifetime === undefined ? undefined : parseDuration(maxLeafLifetime)!,
    ...injected(settings),
    logLevel: settings.choice<Level>("TENCRYPT_LOG_LEVEL", ["debug", "info", "warn", "error"], "info"),
  });
}
