/**
 * `trust`: waits until the ca has published its root, writes it into the two webhook configurations, and gives up its own
 * right to do so: Helm would take that away as well, but nobody does where the chart was printed and applied. Whatever
 * does not work (the ca is not up, the rights are new and not known everywhere, somebody else writes) is tried again until
 * the deadline; each new reason is logged once.
 */
import type { Clock } from "../lib/clock/clock.ts";
import { KubeError, isStatus } from "../lib/kube/client.ts";
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

type Client = Pick<KubeClient, "get" | "patch" | "delete">;

export type Context = { readonly client: Client; readonly clock: Clock; readonly log: Log };

type Attempt =
  | { readonly kind: "done" }
  | { readonly kind: "not_yet"; readonly why: string }
  /** All was done, and whether the last call was too is not known. */
  | { readonly kind: "unanswered"; readonly why: string };

const notYet = (why: string): Attempt => ({ kind: "not_yet", why });

async function setUpOnce({ client, log }: Context): Promise<Attempt> {
  const root = readRoot(await client.get<ConfigMap>(rootPath));
  if (root.kind === "none") return notYet(`ConfigMap ${rootConfigMap.name}: ${root.why}`);
  for (const path of configurationPaths) {
    const patch = bundlePatch(await client.get<WebhookConfiguration>(path), root.pem);
    if (patch.length > 0) await client.patch(`${path}?fieldManager=${fieldManager}`, patch, "json");
    log("info", patch.length > 0 ? "trust_set" : "trust_was_set", { configuration: path.slice(group.length + 1) });
  }
  return await giveUpRight(client, [404]);
}

/** The last act: after it no call is allowed any more. Asked for again, that it may not be done says that it was done. */
async function giveUpRight(client: Client, isDoneBy: readonly number[]): Promise<Attempt> {
  try {
    await client.delete(bindingPath);
    return { kind: "done" };
  } catch (error) {
    if (isStatus(error, ...isDoneBy)) return { kind: "done" };
    const isAnswer = error instanceof KubeError && error.code > 0 && error.code < 500;
    return { kind: isAnswer ? "not_yet" : "unanswered", why: (error as Error).message };
  }
}

async function attempt(context: Context, before: Attempt["kind"]): Promise<Attempt> {
  try {
    return before === "unanswered" ? await giveUpRight(context.client, [404, 403]) : await setUpOnce(context);
  } catch (error) {
    return notYet((error as Error).message);
  }
}

/** Whether it was done before the deadline, in milliseconds from now. */
export async function setTrust(context: Context, deadline: number): Promise<boolean> {
  const { clock, log } = context;
  const end = clock.monotonic() + deadline;
  let told = "";
  let before: Attempt["kind"] = "not_yet";
  for (;;) {
    const outcome = await attempt(context, before);
    if (outcome.kind === "done") return true;
    if (before === "not_yet") before = outcome.kind;
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
