/** The only reader of the proxy's settings: frozen values, or every problem at once. */
import { Settings } from "../lib/config/settings.ts";
import type { Environment } from "../lib/config/settings.ts";
import type { Level } from "../lib/log/log.ts";
import { parseIp } from "../lib/net/address.ts";
import type { Ip } from "../lib/net/address.ts";
import { defaultPorts, ofEachPort, portSetting } from "../lib/net/ports.ts";
import type { Ports } from "../lib/net/ports.ts";
import type { AccessLogOptions } from "./observe/access-log.ts";
import { readTracingSettings } from "./observe/tracing-settings.ts";
import { readProbes } from "./probe/declared.ts";
import type { ProbeActions } from "./probe/declared.ts";
import type { TracingSettings } from "./observe/tracing-settings.ts";
import { modes } from "../lib/project/mode.ts";
import type { Mode } from "../lib/project/mode.ts";

export type ProxyConfig = {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
  readonly podIps: readonly Ip[];
  readonly caAddress: string;
  readonly caRootFile: string;
  /** SHA-256 of root certificates, hex; empty: any root in the file. */
  readonly caRootPins: readonly string[];
  readonly tokenFile: string;
  readonly directory:
    | { readonly kind: "file"; readonly path: string }
    /** `stateFolder` null: the last state is not kept. */
    | { readonly kind: "stream"; readonly address: string; readonly stateFolder: string | null };
  readonly mode: Mode;
  readonly maxLeafLifetimeMs: number;
  readonly ports: Ports;
  /** Of the application, by the path on the health port. */
  readonly probes: ProbeActions;
  readonly maxConnections: number;
  /** What may wait in the proxy; null: by the container's memory. */
  readonly maxBufferedMib: number | null;
  readonly drainMs: number;
  readonly logLevel: Level;
  /** Which connections have a line in the log. */
  readonly accessLog: AccessLogOptions["connections"];
  /** Null while tracing is off. */
  readonly tracing: TracingSettings | null;
  /** `TENCRYPT_` variables that nothing read. */
  readonly unread: readonly string[];
};

const hour = 3_600_000;

export function readConfig(env: Environment): ProxyConfig {
  const settings = new Settings(env);
  return settings.finish({
    trustDomain: settings.name("TENCRYPT_TRUST_DOMAIN"),
    namespace: settings.name("TENCRYPT_NAMESPACE"),
    serviceAccount: settings.name("TENCRYPT_SERVICE_ACCOUNT"),
    podName: settings.name("TENCRYPT_POD_NAME"),
    podUid: settings.text("TENCRYPT_POD_UID"),
    podIps: settings.list("TENCRYPT_POD_IPS", undefined, "IP addresses", parseIp),
    caAddress: settings.address("TENCRYPT_CA_ADDRESS"),
    caRootFile: settings.text("TENCRYPT_CA_ROOT_FILE"),
    caRootPins: settings.list("TENCRYPT_CA_ROOT_PINS", [], "SHA-256 digests in hex", readPin),
    tokenFile: settings.text("TENCRYPT_TOKEN_FILE"),
    directory: readDirectory(settings),
    // An unknown mode must not be looser than any known one.
    mode: settings.read<Mode>(
      "TENCRYPT_MODE",
      "strict",
      "a mode",
      (text) => modes.find((mode) => mode === text) ?? "strict",
    ),
    maxLeafLifetimeMs: settings.duration("TENCRYPT_MAX_LEAF_LIFETIME", 48 * hour),
    ports: readPorts(settings),
    probes: settings.read<ProbeActions>("TENCRYPT_PROBES", new Map(), "what injection writes", readProbes),
    maxConnections: settings.integer("TENCRYPT_MAX_CONNECTIONS", { min: 1, max: 1_000_000 }, 10_000),
    maxBufferedMib: settings.integer("TENCRYPT_MAX_BUFFERED", { min: 1, max: 65_536 }, null),
    drainMs: settings.duration("TENCRYPT_DRAIN", 25_000),
    logLevel: settings.logLevel(),
    accessLog: settings.choice("TENCRYPT_ACCESS_LOG", ["refused", "all"], "refused"),
    tracing: readTracingSettings(settings),
  });
}

/** From the controller where its address is given, else from a file; a file that would not be read is a mistake. */
function readDirectory(settings: Settings): ProxyConfig["directory"] | undefined {
  const stateFolder = settings.optional("TENCRYPT_STATE_DIR");
  if (settings.optional("TENCRYPT_DIRECTORY_ADDRESS") === null)
    return settings.whole({ kind: "file", path: settings.text("TENCRYPT_DIRECTORY_FILE") });
  if (settings.optional("TENCRYPT_DIRECTORY_FILE") !== null)
    settings.problem("TENCRYPT_DIRECTORY_FILE and TENCRYPT_DIRECTORY_ADDRESS are both set: only one of them can count");
  return settings.whole({ kind: "stream", address: settings.address("TENCRYPT_DIRECTORY_ADDRESS"), stateFolder });
}

function readPorts(settings: Settings): Ports | undefined {
  const ports = ofEachPort((name) => settings.port(portSetting(name), defaultPorts[name]));
  const fixed = Object.values(ports).filter((port) => port !== 0 && port !== undefined);
  if (new Set(fixed).size !== fixed.length)
    settings.problem("two of the TENCRYPT_..._PORT settings name the same port");
  return settings.whole(ports);
}

const readPin = (text: string): string | null => (/^[0-9a-f]{64}$/i.test(text) ? text.toLowerCase() : null);
