/** The settings of the ca, from environment variables; every problem is reported at once. Pure. */
import { isName } from "../lib/identity/spiffe-id.ts";
import { ipBytes, parseIp, parsePort } from "../lib/net/address.ts";
import { caAudience, control } from "../lib/kube/names.ts";
import { parseDuration, Settings } from "../lib/config/settings.ts";
import type { Environment } from "../lib/config/settings.ts";
import type { Level } from "../lib/log/log.ts";
import { shortestTtl } from "./issue/validity.ts";
import type { GeneralName } from "./x509/extensions.ts";

export type AuthenticatorConfig =
  | { readonly kind: "jwks"; readonly file: string; readonly issuer: string }
  | {
      readonly kind: "kubernetes";
      readonly initImages: readonly string[];
      readonly proxyImages: readonly string[];
      readonly sourceCheck: "enforce" | "warn";
    };

export type StoreConfig =
  | { readonly kind: "folder"; readonly path: string }
  | {
      readonly kind: "kubernetes";
      readonly namespace: string;
      /** Name of the Secret with a root that somebody else makes; null: the usual one, made where it is absent. */
      readonly broughtRoot: string | null;
    };

export type CaConfig = {
  readonly listen: { readonly host: string; readonly port: number };
  /** Metrics and health; null: not served. */
  readonly metricsPort: number | null;
  readonly trustDomain: string;
  readonly tokenAudience: string;
  readonly authenticator: AuthenticatorConfig;
  readonly store: StoreConfig;
  readonly servingNames: readonly GeneralName[];
  readonly leafTtl: number;
  readonly rateLimit: { readonly perSecond: number; readonly burst: number };
  readonly logLevel: Level;
  /** `TENCRYPT_` variables that nothing read. */
  readonly unread: readonly string[];
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

const imageText = /^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}$/;

function images(text: string): readonly string[] | null {
  const list = text.split(",").map((part) => part.trim());
  return list.every((image) => imageText.test(image)) ? list : null;
}

function authenticator(settings: Settings): AuthenticatorConfig {
  if (settings.choice("TENCRYPT_AUTHENTICATOR", ["kubernetes", "jwks"]) === "kubernetes")
    return {
      kind: "kubernetes",
      initImages: settings.read("TENCRYPT_INIT_IMAGES", undefined, "comma-separated image names", images),
      proxyImages: settings.read("TENCRYPT_PROXY_IMAGES", undefined, "comma-separated image names", images),
      sourceCheck: settings.choice("TENCRYPT_CA_SOURCE_CHECK", ["enforce", "warn"], "enforce"),
    };
  return {
    kind: "jwks",
    file: settings.text("TENCRYPT_JWKS_FILE", undefined, "the path of a JSON Web Key Set"),
    issuer: settings.text("TENCRYPT_TOKEN_ISSUER", undefined, "the iss of tokens"),
  };
}

function store(settings: Settings): StoreConfig {
  const path = settings.text("TENCRYPT_CA_STORE", undefined, "kubernetes, or the path of a folder");
  if (path !== "kubernetes") return { kind: "folder", path };
  const namespace = settings.read("TENCRYPT_CA_NAMESPACE", control.ca.namespace, "a namespace", (text) =>
    isName(text) ? text : null,
  );
  const broughtRoot = settings.read<string | null>("TENCRYPT_CA_ROOT_SECRET", null, "the name of a Secret", (text) =>
    isName(text) ? text : null,
  );
  return { kind: "kubernetes", namespace, broughtRoot };
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
    tokenAudience: settings.text("TENCRYPT_TOKEN_AUDIENCE", caAudience),
    authenticator: authenticator(settings),
    store: store(settings),
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
  // A namespace's uid comes from the API; a folder would make one up, and Secrets need one.
  if (
    config.authenticator.kind !== config.store.kind &&
    [config.authenticator.kind, config.store.kind].includes("kubernetes")
  )
    settings.problem("TENCRYPT_AUTHENTICATOR and TENCRYPT_CA_STORE are both kubernetes, or neither is");
  return { ...config, unread: settings.finish() };
}
