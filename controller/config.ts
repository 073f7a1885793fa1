/** The settings of the controller, from environment variables; every problem is reported at once. Pure. */
import { parseDuration, Settings } from "../lib/config/settings.ts";
import type { Environment } from "../lib/config/settings.ts";
import { isName } from "../lib/identity/spiffe-id.ts";
import type { Level } from "../lib/log/log.ts";
import { parseIp, parsePort } from "../lib/net/address.ts";
import { parseCidr } from "../lib/net/cidr.ts";
import { modes } from "../lib/project/mode.ts";
import type { Mode } from "../lib/project/mode.ts";

export type Listen = { readonly host: string; readonly port: number };

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
  readonly webhookListen: Listen;
  readonly directoryListen: Listen;
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

function listen(text: string): Listen | null {
  const [, bracketed, plain, portText = ""] = /^(?:\[([^\]]*)\]|([^:]*)):([0-9]+)$/.exec(text) ?? [];
  const port = portText === "0" ? 0 : parsePort(portText);
  const host = parseIp(bracketed ?? plain ?? "") ?? (bracketed === "::" ? "::" : plain === "0.0.0.0" ? plain : null);
  return host === null || port === null || host.includes(":") !== (bracketed !== undefined) ? null : { host, port };
}

function ranges(text: string): readonly string[] | null {
  const list = text.split(",").map((part) => parseCidr(part.trim())?.text ?? null);
  return list.every((cidr) => cidr !== null) ? list : null;
}

const quantity = /^[0-9]+(?:\.[0-9]+)?(?:m|k|Ki|M|Mi|G|Gi)?$/;

function resources(settings: Settings): Resources {
  const read = (name: string): string | null =>
    settings.read<string | null>(name, null, "an amount such as 50m or 64Mi", (text) =>
      quantity.test(text) ? text : null,
    );
  return {
    cpuRequest: read("TENCRYPT_PROXY_CPU_REQUEST"),
    memoryRequest: read("TENCRYPT_PROXY_MEMORY_REQUEST"),
    cpuLimit: read("TENCRYPT_PROXY_CPU_LIMIT"),
    memoryLimit: read("TENCRYPT_PROXY_MEMORY_LIMIT"),
  };
}

const defaultLifetime = "48h";

/** What goes into every injected pod. */
function injected(
  settings: Settings,
): Pick<ControllerConfig, "initImage" | "proxyImage" | "imagePullPolicy" | "proxyUid" | "resources" | "otlpEndpoint"> {
  return {
    initImage: settings.text("TENCRYPT_INIT_IMAGE", undefined, "an image"),
    proxyImage: settings.text("TENCRYPT_PROXY_IMAGE", undefined, "an image"),
    imagePullPolicy: settings.choice("TENCRYPT_IMAGE_PULL_POLICY", ["Always", "IfNotPresent", "Never"], "IfNotPresent"),
    proxyUid: settings.integer("TENCRYPT_PROXY_UID", { min: 1, max: 4_294_967_294 }, 1337),
    resources: resources(settings),
    otlpEndpoint: settings.read<string | null>("OTEL_EXPORTER_OTLP_ENDPOINT", null, "a URL", (text) =>
      URL.canParse(text) ? text : null,
    ),
  };
}

export function readConfig(env: Environment): ControllerConfig {
  const settings = new Settings(env);
  const name = (variable: string): string =>
    settings.read(variable, undefined, "a Kubernetes name", (text) => (isName(text) ? text : null));
  const where = "an address and a port such as 0.0.0.0:15013 or [::]:15013";
  const maxLeafLifetime = settings.read("TENCRYPT_MAX_LEAF_LIFETIME", defaultLifetime, "a duration", (text) =>
    parseDuration(text) === null ? null : text,
  );
  const config = {
    trustDomain: name("TENCRYPT_TRUST_DOMAIN"),
    namespace: name("TENCRYPT_NAMESPACE"),
    podName: name("TENCRYPT_POD_NAME"),
    podUid: settings.text("TENCRYPT_POD_UID"),
    caAddress: settings.text("TENCRYPT_CA_ADDRESS", undefined, "host:port"),
    tokenFile: settings.text("TENCRYPT_TOKEN_FILE"),
    webhookListen: settings.read("TENCRYPT_WEBHOOK_LISTEN", undefined, where, listen),
    directoryListen: settings.read("TENCRYPT_DIRECTORY_LISTEN", undefined, where, listen),
    metricsPort: settings.port("TENCRYPT_METRICS_PORT", 15014),
    mode: settings.choice<Mode>("TENCRYPT_MODE", modes, "project"),
    clusterRanges: settings.read<readonly string[]>("TENCRYPT_CLUSTER_RANGES", [], "comma-separated CIDRs", ranges),
    maxLeafLifetime,
    maxLeafLifetimeMs: parseDuration(maxLeafLifetime) ?? 0,
    ...injected(settings),
    logLevel: settings.choice<Level>("TENCRYPT_LOG_LEVEL", ["debug", "info", "warn", "error"], "info"),
  };
  return Object.freeze({ ...config, unread: settings.finish() });
}
