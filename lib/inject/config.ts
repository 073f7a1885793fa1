/** What an installation puts into every pod: from the controller's settings, whoever reads them, and the roots. Pure. */
import { parseDuration } from "../config/settings.ts";
import type { Settings } from "../config/settings.ts";
import { control, hosts } from "../kube/names.ts";
import { modes } from "../project/mode.ts";
import type { Mode } from "../project/mode.ts";
import { pinOfPem } from "../trust/bundle.ts";
import { version } from "../version.ts";

export type Amounts = { readonly cpu?: string; readonly memory?: string };

export type InjectionSettings = {
  readonly trustDomain: string;
  /** Of projects that name none. */
  readonly defaultMode: Mode;
  readonly initImage: string;
  readonly proxyImage: string;
  readonly imagePullPolicy: string;
  readonly proxyUid: number;
  /** `host:port`. */
  readonly caAddress: string;
  readonly maxLeafLifetime: string;
  /** Of the collector that proxies send spans to; null: none. */
  readonly otlpEndpoint: string | null;
  readonly requests: Amounts;
  readonly limits: Amounts;
};

export type InjectConfig = InjectionSettings & {
  readonly version: string;
  readonly directoryAddress: string;
  /** PEM, and its SHA-256 pins. */
  readonly rootPem: string;
  readonly rootPins: readonly string[];
};

const defaultLifetime = "48h";
const quantity = /^[0-9]+(?:\.[0-9]+)?(?:m|k|Ki|M|Mi|G|Gi)?$/;

type Parts = { readonly [K in keyof InjectionSettings]: InjectionSettings[K] | undefined };

/** For `settings.finish`: what is missing or cannot be used is undefined. */
export const readInjection = (settings: Settings): Parts => ({
  trustDomain: settings.name("TENCRYPT_TRUST_DOMAIN"),
  defaultMode: settings.choice<Mode>("TENCRYPT_MODE", modes, "project"),
  initImage: settings.text("TENCRYPT_INIT_IMAGE", undefined, "an image"),
  proxyImage: settings.text("TENCRYPT_PROXY_IMAGE", undefined, "an image"),
  imagePullPolicy: settings.choice("TENCRYPT_IMAGE_PULL_POLICY", ["Always", "IfNotPresent", "Never"], "IfNotPresent"),
  proxyUid: settings.integer("TENCRYPT_PROXY_UID", { min: 1, max: 4_294_967_294 }, 1337),
  caAddress: settings.address("TENCRYPT_CA_ADDRESS"),
  maxLeafLifetime: settings.read("TENCRYPT_MAX_LEAF_LIFETIME", defaultLifetime, "a duration", (text) =>
    parseDuration(text) === null ? null : text,
  ),
  otlpEndpoint: settings.read<string | null>("OTEL_EXPORTER_OTLP_ENDPOINT", null, "a URL", (text) =>
    URL.canParse(text) ? text : null,
  ),
  requests: readAmounts(settings, "REQUEST"),
  limits: readAmounts(settings, "LIMIT"),
});

function readAmounts(settings: Settings, kind: "REQUEST" | "LIMIT"): Amounts | undefined {
  const read = (name: string): string | null | undefined =>
    settings.read<string | null>(name, null, "an amount such as 50m or 64Mi", (text) =>
      quantity.test(text) ? text : null,
    );
  const [cpu, memory] = [read(`TENCRYPT_PROXY_CPU_${kind}`), read(`TENCRYPT_PROXY_MEMORY_${kind}`)];
  if (cpu === undefined || memory === undefined) return undefined;
  return { ...(cpu === null ? {} : { cpu }), ...(memory === null ? {} : { memory }) };
}

/**
 * `roots`: PEM, one certificate each. Field by field, as settings hold what is a program's own too: replicas that differ in
 * any of this do not take each other's pods for well injected (mark.ts).
 */
export const injectConfig = (settings: InjectionSettings, roots: readonly string[]): InjectConfig => ({
  version,
  trustDomain: settings.trustDomain,
  defaultMode: settings.defaultMode,
  initImage: settings.initImage,
  proxyImage: settings.proxyImage,
  imagePullPolicy: settings.imagePullPolicy,
  proxyUid: settings.proxyUid,
  caAddress: settings.caAddress,
  directoryAddress: `${hosts.controller}:${control.controller.directoryPort}`,
  rootPem: roots.join(""),
  rootPins: roots.map(pinOfPem),
  maxLeafLifetime: settings.maxLeafLifetime,
  otlpEndpoint: settings.otlpEndpoint,
  requests: settings.requests,
  limits: settings.limits,
});
