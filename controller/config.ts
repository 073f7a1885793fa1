/** The settings of the controller, from environment variables; every problem is reported at once. Pure. */
import { parseDuration, Settings } from "../lib/config/settings.ts";
import type { Environment } from "../lib/config/settings.ts";
import { readInjection } from "../lib/inject/config.ts";
import type { InjectionSettings } from "../lib/inject/config.ts";
import { control } from "../lib/kube/names.ts";
import type { Level } from "../lib/log/log.ts";
import { parseCidr } from "../lib/net/cidr.ts";
import type { HostPort } from "../lib/net/host-port.ts";

/** What goes into every injected pod, and the controller's own. */
export type ControllerConfig = InjectionSettings & {
  readonly namespace: string;
  readonly podName: string;
  readonly podUid: string;
  readonly tokenFile: string;
  readonly webhookListen: HostPort;
  readonly directoryListen: HostPort;
  readonly metricsPort: number;
  /** Empty: what nodes and Service ranges say. */
  readonly clusterRanges: readonly string[];
  readonly maxLeafLifetimeMs: number;
  readonly logLevel: Level;
  /** `TENCRYPT_` variables that nothing read. */
  readonly unread: readonly string[];
};

const readRange = (text: string): string | null => parseCidr(text)?.text ?? null;

export function readConfig(env: Environment): ControllerConfig {
  const settings = new Settings(env);
  const injection = readInjection(settings);
  return settings.finish({
    ...injection,
    namespace: settings.name("TENCRYPT_NAMESPACE"),
    podName: settings.name("TENCRYPT_POD_NAME"),
    podUid: settings.text("TENCRYPT_POD_UID"),
    tokenFile: settings.text("TENCRYPT_TOKEN_FILE"),
    webhookListen: settings.listen("TENCRYPT_WEBHOOK_LISTEN", control.controller.webhookPort),
    directoryListen: settings.listen("TENCRYPT_DIRECTORY_LISTEN", control.controller.directoryPort),
    metricsPort: settings.port("TENCRYPT_METRICS_PORT", control.metricsPort),
    clusterRanges: settings.list("TENCRYPT_CLUSTER_RANGES", [], "CIDRs", readRange),
    // As text it is passed on to proxies.
    maxLeafLifetimeMs: injection.maxLeafLifetime === undefined ? undefined : parseDuration(injection.maxLeafLifetime)!,
    logLevel: settings.logLevel(),
  });
}
