/** The settings of the ca, from environment variables; every problem is reported at once. Pure. */
import { isName } from "../lib/identity/spiffe-id.ts";
import { ipBytes, parseIp } from "../lib/net/address.ts";
import type { HostPort } from "../lib/net/host-port.ts";
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
  readonly listen: HostPort;
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

function readServingName(text: string): GeneralName | null {
  const ip = parseIp(text);
  if (ip !== null) return { kind: "ip", bytes: ipBytes(ip) };
  return isName(text) ? { kind: "dns", text } : null;
}

const leafTtl = (settings: Settings): number | undefined =>
  settings.read("TENCRYPT_LEAF_TTL", day, "a duration from 10s to 30d", (text) => {
    const ttl = parseDuration(text);
    return ttl !== null && ttl >= shortestTtl && ttl <= longestTtl ? ttl : null;
  });

const imageText = /^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}$/;

const readImage = (text: string): string | null => (imageText.test(text) ? text : null);

function authenticator(
  settings: Settings,
  kind: AuthenticatorConfig["kind"] | undefined,
): AuthenticatorConfig | undefined {
  if (kind === undefined) return undefined;
  if (kind === "kubernetes")
    return settings.whole({
      kind,
      initImages: settings.list("TENCRYPT_INIT_IMAGES", undefined, "image names", readImage),
      proxyImages: settings.list("TENCRYPT_PROXY_IMAGES", undefined, "image names", readImage),
      sourceCheck: settings.choice("TENCRYPT_CA_SOURCE_CHECK", ["enforce", "warn"], "enforce"),
    });
  return settings.whole({
    kind,
    file: settings.text("TENCRYPT_JWKS_FILE", undefined, "the path of a JSON Web Key Set"),
    issuer: settings.text("TENCRYPT_TOKEN_ISSUER", undefined, "the iss of tokens"),
  });
}

function store(settings: Settings, path: string | undefined): StoreConfig | undefined {
  if (path === undefined) return undefined;
  if (path !== "kubernetes") return { kind: "folder", path };
  return settings.whole({
    kind: "kubernetes",
    namespace: settings.read("TENCRYPT_CA_NAMESPACE", control.ca.namespace, "a namespace", ifName),
    broughtRoot: settings.read<string | null>("TENCRYPT_CA_ROOT_SECRET", null, "the name of a Secret", ifName),
  });
}

const ifName = (text: string): string | null => (isName(text) ? text : null);

export function readConfig(env: Environment): CaConfig {
  const settings = new Settings(env);
  const who = settings.choice("TENCRYPT_AUTHENTICATOR", ["kubernetes", "jwks"]);
  const where = settings.text("TENCRYPT_CA_STORE", undefined, "kubernetes, or the path of a folder");
  // A namespace's uid comes from the API; a folder would make one up, and Secrets need one.
  if (who !== undefined && where !== undefined && (who === "kubernetes") !== (where === "kubernetes"))
    settings.problem("TENCRYPT_AUTHENTICATOR and TENCRYPT_CA_STORE are both kubernetes, or neither is");
  return settings.finish({
    listen: settings.listen("TENCRYPT_CA_LISTEN", control.ca.port),
    metricsPort: settings.port("TENCRYPT_METRICS_PORT", null),
    trustDomain: settings.read(
      "TENCRYPT_TRUST_DOMAIN",
      undefined,
      "a name of lower-case letters, digits, - and .",
      ifName,
    ),
    tokenAudience: settings.text("TENCRYPT_TOKEN_AUDIENCE", caAudience),
    authenticator: authenticator(settings, who),
    store: store(settings, where),
    servingNames: settings.list("TENCRYPT_CA_SERVING_NAMES", [], "DNS names and addresses", readServingName),
    leafTtl: leafTtl(settings),
    rateLimit: settings.whole({
      perSecond: settings.integer("TENCRYPT_CA_RATE_LIMIT", { min: 1, max: 100_000 }, 20),
      burst: settings.integer("TENCRYPT_CA_RATE_BURST", { min: 1, max: 100_000 }, 40),
    }),
    logLevel: settings.logLevel(),
  });
}
