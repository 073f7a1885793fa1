/** The settings of the ca, from environment variables; every problem is reported at once. Pure. */
import { isName } from "../lib/identity/spiffe-id.ts";
import { ipBytes, parseIp, parsePort } from "../lib/net/address.ts";
import { parseDuration, Settings } from "../lib/config/settings.ts";
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

const readPort = (text: string): number | null => (text === "0" ? 0 : parsePort(text));

/** `host:port` or `[v6]:port`; the host is an address or a name, the port may be 0. */
function listenAddress(text: string): CaConfig["listen"] | null {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]*)\]|([^:]*)):([0-9]+)$/.exec(text) ?? [];
  const port = readPort(portText ?? "");
  const host = parseIp(bracketed ?? plain ?? "") ?? (bracketed === undefined && isName(plain ?? "") ? plain! : null);
  if (host === null || port === null || host.includes(":") !== (bracketed !== undefined)) return null;
  return { host, port };
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

const leafTtl = (settings: Settings): number =>
  settings.read("TENCRYPT_LEAF_TTL", day, "a duration from 10s to 30d", (text) => {
    const ttl = parseDuration(text);
    return ttl !== null && ttl >= shortestTtl && ttl <= longestTtl ? ttl : null;
  });

type TokenSettings = Pick<CaConfig, "jwksFile" | "tokenIssuer" | "tokenAudience">;

function tokenSettings(settings: Settings): TokenSettings {
  const tokenAudience = settings.text("TENCRYPT_TOKEN_AUDIENCE", "tencrypt-ca");
  if (settings.choice("TENCRYPT_AUTHENTICATOR", ["kubernetes", "jwks"]) === "kubernetes") {
    settings.problem('TENCRYPT_AUTHENTICATOR is "kubernetes": this version cannot do that yet, only jwks');
    return { jwksFile: "", tokenIssuer: "", tokenAudience };
  }
  return {
    jwksFile: settings.text("TENCRYPT_JWKS_FILE", undefined, "the path of a JSON Web Key Set"),
    tokenIssuer: settings.text("TENCRYPT_TOKEN_ISSUER", undefined, "the iss of tokens"),
    tokenAudience,
  };
}

function storePath(settings: Settings): string {
  const path = settings.text("TENCRYPT_CA_STORE", undefined, "the path of a directory");
  if (path === "kubernetes")
    settings.problem('TENCRYPT_CA_STORE is "kubernetes": this version cannot do that yet, only a directory');
  return path;
}

export function readConfig(env: Environment): CaConfig {
  const settings = new Settings(env);
  const config = {
    listen: settings.read(
      "TENCRYPT_CA_LISTEN",
      undefined,
      "a host and a port such as 0.0.0.0:15012 or [::]:15012",
      listenAddress,
    ),
    metricsPort: settings.read<number | null>("TENCRYPT_METRICS_PORT", null, "a port from 0 to 65535", readPort),
    trustDomain: settings.read(
      "TENCRYPT_TRUST_DOMAIN",
      undefined,
      "a name of lower-case letters, digits, - and .",
      (text) => (isName(text) ? text : null),
    ),
    ...tokenSettings(settings),
    store: storePath(settings),
    servingNames: settings.read<readonly GeneralName[]>(
      "TENCRYPT_CA_SERVING_NAMES",
      [],
      "comma-separated DNS names and addresses",
      servingNames,
    ),
    leafTtl: leafTtl(settings),
    rateLimit: {
      perSecond: settings.integer("TENCRYPT_CA_RATE_LIMIT", { min: 1, max: 100_000 }, 20),
      burst: settings.integer("TENCRYPT_CA_RATE_BURST", { min: 1, max: 100_000 }, 40),
    },
    logLevel: settings.choice<Level>("TENCRYPT_LOG_LEVEL", ["debug", "info", "warn", "error"], "info"),
  };
  return { ...config, unknown: settings.finish() };
}
