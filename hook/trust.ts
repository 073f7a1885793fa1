/**
 * `trust`: waits until the ca has published its root, writes it into the two webhook configurations, and gives up its own
 * right to do so: Helm would take that away as well, but nobody does where the chart was printed and applied. Whatever
 * does not work (the ca is not up, the rights are new and not known everywhere, somebody else writes) is tried again until
 * the deadline; each new reason is logged once.
 */
import type { Clock } from "../lib/clock/clock.ts";
import { isStatus } from "../lib/kube/client.ts";
import type { KubeClient } from "../lib/kube/client.ts";
import { control, rootConfigMap, webhookConfigurations } from "../lib/kube/names.ts";
import type { ConfigMap } from "../lib/kube/objects.ts";
import type { Log } from "../lib/log/log.ts";
import { bundlePatch, readRoot } from "./ca-bundle.ts";
import type { WebhookConfiguration } from "./ca-bundle.ts";

const retryMs = 1000;
/** By this name the API server knows the field's owner: an upgrade of the chart is another one and leaves it alone. */
const fieldManager = "tencrypt-trust";

const rootPath = `/api/v1/namespaces/${control.ca.namespace}/configmaps/${rootConfigMap.name}`;
const group = "/apis/admissionregistration.k8s.io/v1";
const configurationPaths: readonly string[] = [
  `${group}/mutatingwebhookconfigurations/${webhookConfigurations.mutating}`,
  `${group}/validatingwebhookconfigurations/${webhookConfigurations.validating}`,
];

/** Named in the chart. */
const bindingPath = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/tencrypt-trust";

export type Context = { readonly client: KubeClient; readonly clock: Clock; readonly log: Log };

type Attempt = { readonly kind: "done" } | { readonly kind: "not_yet"; readonly why: string };

const setUpOnce = async ({ client, log }: Context): Promise<Attempt> => {
  const root = readRoot(await client.get<ConfigMap>(rootPath));
  if (root.kind === "none") return { kind: "not_yet", why: `ConfigMap ${rootConfigMap.name}: ${root.why}` };
  for (const path of configurationPaths) {
    const patch = bundlePatch(await client.get<WebhookConfiguration>(path), root.pem);
    if (patch.length > 0) await client.patch(`${path}?fieldManager=${fieldManager}`, patch, "json");
    log("info", patch.length > 0 ? "trust_set" : "trust_was_set", { configuration: path.slice(group.length + 1) });
  }
  // The last act: after it no call is allowed any more.
  await client.delete(bindingPath).catch((error: unknown) => {
    if (!isStatus(error, 404)) throw error;
  });
  return { kind: "done" };
};

const attempt = async (context: Context): Promise<Attempt> => {
  try {
    return await setUpOnce(context);
  } catch (error) {
    return { kind: "not_yet", why: (error as Error).message };
  }
};

/** Whether it was done before the deadline, in milliseconds from now. */
export async function setTrust(context: Context, deadline: number): Promise<boolean> {
  const { clock, log } = context;
  const end = clock.monotonic() + deadline;
  let told = "";
  for (;;) {
    const outcome = await attempt(context);
    if (outcome.kind === "done") return true;
    if (outcome.why !== told) log("info", "waiting", { why: outcome.why });
    told = outcome.why;
    if (clock.monotonic() + retryMs > end) {
      log("error", "gave_up", {
        why: outcome.why,
        hint: `kubectl -n ${control.ca.namespace} get pods,events; then helm upgrade, which tries again`,
      });
      return false;
    }
    await new Promise<void>((resolve) => void clock.after(retryMs, resolve));
  }
}
