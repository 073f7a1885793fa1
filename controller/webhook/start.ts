/** The webhooks on what the controller knows: namespaces from the informer, or asked for where it lacks one. */
import type { Clock } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import type { InjectConfig } from "../../lib/inject/config.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import type { Informer } from "../../lib/kube/informer.ts";
import { control, hosts } from "../../lib/kube/names.ts";
import type { Namespace } from "../../lib/kube/objects.ts";
import type { Log } from "../../lib/log/log.ts";
import { pinOfPem } from "../../lib/trust/bundle.ts";
import { version } from "../../lib/version.ts";
import type { ControllerConfig } from "../config.ts";
import type { ControllerMetrics } from "../metrics.ts";
import { injectAnswer, peersAnswer, validateAnswer } from "./admission.ts";
import type { AdmissionRequest, Answer } from "./admission.ts";
import { listenWebhooks } from "./server.ts";
import type { Handler, WebhookServer } from "./server.ts";

export type WebhookContext = {
  readonly config: ControllerConfig;
  readonly client: KubeClient;
  readonly namespaces: Informer<Namespace>;
  readonly credentials: () => Credentials | null;
  readonly metrics: ControllerMetrics;
  readonly clock: Clock;
  readonly log: Log;
};

export function startWebhooks(context: WebhookContext): Promise<WebhookServer> {
  const { config, metrics, clock, log } = context;
  const pods =
    (judge: typeof injectAnswer): Handler =>
    async (request) => {
      const credentials = context.credentials();
      if (credentials === null) throw new Error("no certificate yet, and so no roots to inject");
      const namespace = await namespaceOf(request.namespace ?? "", context);
      const answer = judge(request, namespace, injectConfig(config, credentials.roots));
      if (judge === injectAnswer) metrics.injection(answer.outcome, answer.reason);
      return answer;
    };
  const handlers = new Map<string, Handler>([
    ["/inject", pods(injectAnswer)],
    ["/validate", pods(validateAnswer)],
    ["/namespaces", (request) => completePeers(request, context)],
  ]);
  return listenWebhooks(config.webhookListen, { handlers, clock, log });
}

/** An informer may not have seen a namespace that was made a moment ago, or what it was changed to. */
async function namespaceOf(name: string, { client, namespaces }: WebhookContext): Promise<Namespace> {
  return namespaces.get(name) ?? client.get<Namespace>(`/api/v1/namespaces/${encodeURIComponent(name)}`);
}

async function completePeers(request: AdmissionRequest, { client }: WebhookContext): Promise<Answer> {
  const text = (request.object as Namespace | undefined)?.metadata.annotations?.["tencrypt.io/peers"] ?? "";
  const names = text.split(",").map((entry) => entry.trim());
  const uids = new Map<string, string>();
  await Promise.all(
    names
      .filter((name) => /^[a-z0-9-]{1,63}$/.test(name))
      .map(async (name) => {
        const namespace = await client.find<Namespace>(`/api/v1/namespaces/${name}`);
        if (namespace !== null) uids.set(name, namespace.metadata.uid);
      }),
  );
  return peersAnswer(request, (name) => uids.get(name) ?? null);
}

export function injectConfig(config: ControllerConfig, roots: readonly string[]): InjectConfig {
  const { cpuRequest, memoryRequest, cpuLimit, memoryLimit } = config.resources;
  const amounts = (cpu: string | null, memory: string | null): InjectConfig["requests"] => ({
    ...(cpu === null ? {} : { cpu }),
    ...(memory === null ? {} : { memory }),
  });
  return {
    version,
    trustDomain: config.trustDomain,
    defaultMode: config.mode,
    initImage: config.initImage,
    proxyImage: config.proxyImage,
    imagePullPolicy: config.imagePullPolicy,
    proxyUid: config.proxyUid,
    caAddress: config.caAddress,
    directoryAddress: `${hosts.controller}:${control.controller.directoryPort}`,
    rootPem: roots.join(""),
    rootPins: roots.map(pinOfPem),
    maxLeafLifetime: config.maxLeafLifetime,
    otlpEndpoint: config.otlpEndpoint,
    requests: amounts(cpuRequest, memoryRequest),
    limits: amounts(cpuLimit, memoryLimit),
  };
}
