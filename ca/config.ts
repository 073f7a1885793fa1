/** The settings of the ca, from environment variables; every problem is reported at once. Pure. */
import { isName } from "../lib/identity/spiffe-id.ts";
import { ipBytes, parseIp, parsePort } from "../lib/net/address.ts";
import { Settings } from "../lib/config/settings.ts";
import type { Environment } from "../lib/config/settings.ts";
import type { Level } from "../lib/log/log.ts";
import { shortestTtl } from "./issue/validity.ts";
import type { GeneralName } from "./x509/extensions.ts";

export type CaConfig = {
  readonly listen: { readonly host: string; readonly port: number };
  /** Metrics and health; null: not served. */
  readonly metricsPort: number | null;
  readonly trustDomain: string;
  readonly jwksFile: string;
  readonly tokenIssuer: string;
  readonly tokenAudience: string;
  readonly store: string;
  readonly servingNames: readonly GeneralName[];
  readonly leafTtl: number;
  readonly rateLimit: { readonly perSecond: number; readonly burst: number };
  readonly logLevel: Level;
  /** `TENCRYPT_` variables that nothing read. */
  readonly unknown: readonly string[];
};

const day = 86_400_000;
const longestTtl = 30 * day;

/** `host:port` or `[v6]:port`; the host is an address, the port may be 0. */
function listenAddress(text: string): CaConfig["listen"] | null {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, Math.max(0, colon)).replace(/^\[(.*)\]$/, "$1");
  const portText = text.slice(colon + 1);
  const port = portText === "0" ? 0 : parsePort(portText);
  const ip = parseIp(host);
  if (ip === null || port === null || (ip.includes(":") && !text.startsWith("["))) return null;
  return { host: ip, port };
}

function servingNames(text: string): readonly GeneralName[] | null {
  const names = text.split(",").map((part): GeneralName | null => {
    const name = part.trim();
    const ip = parseIp(name);
    if (ip !== null) return { kind: "ip", bytes: ipBytes(ip) };
    return isName(name) ? { kind: "dns", text: name } : null;
  });
  return names.every((name) => name !== null) ? names : null;
}

const duration = (settings: Settings): number => {
  const ttl = settings.duration("TENCRYPT_LEAF_TTL", day);
  if (ttl !== null && (ttl < shortestTtl || ttl > longestTtl)) settings.problem("TENCRYPT_LEAF_TTL is out of range: expected 10s to 30d");
  return ttl;
};

export function readConfig(env: Environment): CaConfig {
  const settings = new Settings(env);
  if (settings.choice("TENCRYPT_AUTHENTICATOR", ["kubernetes", "jwks"]) === "kubernetes") {
    settings.problem('TENCRYPT_AUTHENTICATOR is "kubernetes": this version cannot do that yet, only jwks');
  }
  if (env["TENCRYPT_CA_STORE"] === "kubernetes") settings.problem('TENCRYPT_CA_STORE is "kubernetes": this version cannot do that yet, only a directory');
  const config = {
    listen: settings.read("TENCRYPT_CA_LISTEN", undefined, "an address and a port such as 0.0.0.0:15012 or [::]:15012", listenAddress),
    metricsPort: env["TENCRYPT_METRICS_PORT"] ? settings.port("TENCRYPT_METRICS_PORT") : null,
    trustDomain: settings.read("TENCRYPT_TRUST_DOMAIN", undefined, "a name of lower-case letters, digits, - and .", (text) => (isName(text) ? text : null)),
    jwksFile: settings.text("TENCRYPT_JWKS_FILE", undefined, "the path of a JSON Web Key Set"),
    tokenIssuer: settings.text("TENCRYPT_TOKEN_ISSUER", undefined, "the iss of tokens"),
    tokenAudience: settings.text("TENCRYPT_TOKEN_AUDIENCE", "tencrypt-ca"),
    store: settings.text("TENCRYPT_CA_STORE", undefined, "the path of a directory"),
    servingNames: settings.read<readonly GeneralName[]>("TENCRYPT_CA_SERVING_NAMES", [], "comma-separated DNS names and addresses", servingNames),
    leafTtl: duration(settings),
    rateLimit: {
      perSecond: settings.integer("TENCRYPT_CA_RATE_LIMIT", { min: 1, max: 100_000 }, 20),
      burst: settings.integer("TENCRYPT_CA_RATE_BURST", { min: 1, max: 100_000 }, 40),
    },
    logLevel: settings.choice<Level>("TENCRYPT_LOG_LEVEL", ["debug", "info", "warn", "error"], "info"),
  };
  return { ...config, unknown: settings.finish() };
}
