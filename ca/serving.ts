/** The ca's own certificate: a leaf of the control-plane CA, with a new key each time, renewed at half of its life without a restart. */
import { until } from "../lib/clock/clock.ts";
import type { Clock, Timer } from "../lib/clock/clock.ts";
import { controlPlane } from "../lib/identity/spiffe-id.ts";
import type { Log } from "../lib/log/log.ts";
import type { ServingIdentity } from "./grpc/credentials.ts";
import { issueForControlPlane } from "./issue/issue.ts";
import type { Store } from "./store/store.ts";
import type { GeneralName } from "./x509/extensions.ts";
import { newKey } from "./x509/key.ts";
import { writePem } from "./x509/pem.ts";

export type ServingSettings = {
  readonly trustDomain: string;
  readonly servingNames: readonly GeneralName[];
  readonly ttl: number;
};
export type Serving = { readonly identity: ServingIdentity; stop(): void };

const retryMs = 30_000;

type Issued = { readonly identity: ServingIdentity; readonly notAfter: number };

function issue(settings: ServingSettings, store: Store, now: number): Issued | string {
  const { publicKey, privateKey } = newKey();
  const issuer = store.controlPlane;
  const surroundings = { trustDomain: settings.trustDomain, root: store.root, issuer, now };
  const leaf = issueForControlPlane(
    { ...controlPlane.ca, servingNames: settings.servingNames, publicKey, ttl: settings.ttl },
    surroundings,
  );
  if (leaf.kind === "denial") return `${leaf.reason}: ${leaf.detail}`;
  const certificatePem = [leaf.der, issuer.certificate.der].map((der) => writePem("CERTIFICATE", der)).join("");
  return {
    identity: { certificatePem, keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) },
    notAfter: leaf.notAfter,
  };
}

/** Throws if there can be no first certificate; `replaced` is called with each later one. */
export function startServing(
  settings: ServingSettings,
  store: Store,
  parts: { clock: Clock; log: Log; replaced: (identity: ServingIdentity) => void },
): Serving {
  const { clock, log, replaced } = parts;
  let timer: Timer | null = null;
  const renewBefore = (notAfter: number): void => {
    timer = until(clock, (clock.now() + notAfter) / 2, renew);
  };
  const renew = (): void => {
    const next = issue(settings, store, clock.now());
    if (typeof next === "string") {
      log("error", "serving_certificate_failed", { detail: next });
      timer = clock.after(retryMs, renew);
      return;
    }
    replaced(next.identity);
    log("info", "serving_certificate_renewed", { notAfter: new Date(next.notAfter).toISOString() });
    renewBefore(next.notAfter);
  };
  const first = issue(settings, store, clock.now());
  if (typeof first === "string") throw new Error(`no certificate for the ca itself: ${first}`);
  renewBefore(first.notAfter);
  return { identity: first.identity, stop: () => timer?.cancel() };
}
