/** The webhooks: what each asks the API server for before it answers. */
import type { Clock } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import { injectConfig } from "../../lib/inject/config.ts";
import type { InjectConfig } from "../../lib/inject/config.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import type { Informer } from "../../lib/kube/informer.ts";
import type { Namespace } from "../../lib/kube/objects.ts";
import type { Log } from "../../lib/log/log.ts";
import type { ControllerConfig } from "../config.ts";
import type { ControllerMetrics } from "../metrics.ts";
import {
  changeAnswer,
  createAnswer,
  injectAnswer,
  malformed,
  namespaceName,
  peersAnswer,
  readPeers,
} from "./admission.ts";
import type { AdmissionRequest, Answer } from "./admission.ts";
import { listenWebhooks } from "./server.ts";
import type { Handler, WebhookServer } from "./server.ts";

export type WebhookContext = {
  readonly config: ControllerConfig;
  readonly client: KubeClient;
  readonly namespaces: Pick<Informer<Namespace>, "get">;
  readonly credentials: () => Credentials | null;
  readonly metrics: ControllerMetrics;
  readonly clock: Clock;
  readonly log: Log;
};

export function startWebhooks(context: WebhookContext): Promise<WebhookServer> {
  const { config, metrics, clock, log } = context;
  const handlers = new Map<string, Handler>([
    [
      "/inject",
      async (request) => {
        const answer = await byNow(request, injectAnswer, context);
        metrics.injection(answer.outcome, answer.reason);
        return answer;
      },
    ],
    [
      "/validate",
      async (request) => (request.operation === "CREATE" ? validateNew(request, context) : changeAnswer(request)),
    ],
    ["/namespaces", (request, over) => completePeers(request, context, over)],
  ]);
  return listenWebhooks(config.webhookListen, { handlers, clock, log });
}

/**
 * The namespace is read live, after the API server has asked: what comes is at least as new as what it asks by. From an
 * informer it could be older, and a project that was labelled or made stricter a moment ago would get pods for good that
 * are not protected, or have a looser floor.
 */
async function byNow(
  request: AdmissionRequest,
  judge: typeof injectAnswer,
  { client, config, credentials }: WebhookContext,
): Promise<Answer> {
  const current = injecting(config, credentials);
  const name = request.namespace ?? "";
  if (!namespaceName.test(name)) return malformed;
  return judge(request, await client.get<Namespace>(`/api/v1/namespaces/${name}`), current);
}

/**
 * A pod comes here as `/inject` made it by the namespace of that moment. Where that is just what injection makes of it by
 * what the informer remembers, reading the namespace again would change nothing; where it is not, the memory may be old.
 */
async function validateNew(request: AdmissionRequest, context: WebhookContext): Promise<Answer> {
  const { config, credentials, namespaces } = context;
  const known = namespaces.get(request.namespace ?? "");
  const answer = known === undefined ? null : createAnswer(request, known, injecting(config, credentials));
  return answer?.allowed === true ? answer : byNow(request, createAnswer, context);
}

function injecting(config: ControllerConfig, credentials: WebhookContext["credentials"]): InjectConfig {
  const current = credentials();
  if (current === null) throw new Error("no certificate yet, and so no roots to inject");
  return injectConfig(config, current.roots);
}

/** Look-ups at once, for one namespace. */
const lookUpsAtOnce = 4;

async function completePeers(
  request: AdmissionRequest,
  { client }: WebhookContext,
  over: AbortSignal,
): Promise<Answer> {
  const peers = readPeers(request);
  if (peers.kind === "answer") return peers.answer;
  const uids = new Map<string, string>();
  const left = peers.names.filter((name) => namespaceName.test(name));
  const lookUp = async (): Promise<void> => {
    for (let name = left.pop(); name !== undefined && !over.aborted; name = left.pop()) {
      const namespace = await client.find<Namespace>(`/api/v1/namespaces/${name}`);
      if (namespace !== null) uids.set(name, namespace.metadata.uid);
    }
  };
  await Promise.all(Array.from({ length: lookUpsAtOnce }, lookUp));
  return peersAnswer(peers, uids);
}
