/**
 * Puts the controller together and brings it up; `stop` drains it. Settings and the clock are arguments, so that tests start
 * the real thing in-process.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../lib/clock/clock.ts";
import { IdentityAgent } from "../lib/enrolment/agent.ts";
import { createCaClient } from "../lib/enrolment/ca-client.ts";
import { trustOf } from "../lib/enrolment/root-file.ts";
import { listenHealth } from "../lib/http/health.ts";
import { controlPlane } from "../lib/identity/spiffe-id.ts";
import { loadAccess } from "../lib/kube/access.ts";
import { KubeClient } from "../lib/kube/client.ts";
import { createEvents } from "../lib/kube/events.ts";
import { control, rootConfigMap } from "../lib/kube/names.ts";
import type { ConfigMap } from "../lib/kube/objects.ts";
import type { Running } from "../lib/lifecycle/program.ts";
import type { Log } from "../lib/log/log.ts";
import type { Revision } from "../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import type { ControllerConfig } from "./config.ts";
import { Lookup } from "./directory/lookup.ts";
import { listenDirectory } from "./directory/server.ts";
import type { DirectoryServer } from "./directory/server.ts";
import { ClusterState } from "./directory/state.ts";
import { Streams } from "./directory/streams.ts";
import { startInformers } from "./informers.ts";
import type { Informers } from "./informers.ts";
import { createMetrics } from "./metrics.ts";
import type { ControllerMetrics } from "./metrics.ts";
import { startReconciler } from "./unprotected.ts";
import type { Reconciler } from "./unprotected.ts";
import { startWebhooks } from "./webhook/start.ts";

const drainMs = 5_000;

/** It is ready when everything that others ask for can be answered. */
export type RunningController = Running & {
  readonly directory: { readonly port: number };
  readonly metrics: { readonly port: number };
  readonly webhook: { readonly port: number };
};

type Base = {
  readonly config: ControllerConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly client: KubeClient;
  readonly agent: IdentityAgent;
  readonly metrics: ControllerMetrics;
};

export async function start(config: ControllerConfig, clock: Clock, log: Log): Promise<RunningController> {
  const client = new KubeClient(loadAccess({}), clock);
  const metrics = createMetrics();
  const agent = createAgent(config, client, { clock, log });
  const base: Base = { config, clock, log, client, agent, metrics };
  const { informers, directory, streams, cutServices } = await startDirectory(base);
  const webhooks = await startWebhooks({
    ...base,
    namespaces: informers.namespaces,
    credentials: () => agent.current(),
  });
  log("info", "listening", { name: "webhook", address: webhooks.address, port: webhooks.port });
  const state = { draining: false };
  const isReady = (): boolean => !state.draining && agent.current() !== null && informers.staleness() === null;
  const health = await listenHealth(
    { host: config.directoryListen.host, port: config.metricsPort },
    metrics.registry,
    isReady,
  );
  log("info", "listening", { name: "metrics", address: health.address, port: health.port });
  const certified = new Promise<void>((resolve) => agent.onChange(() => resolve()));
  agent.onChange((credentials) => {
    directory.gate.renew(credentials);
    webhooks.renew(credentials);
  });
  agent.start();
  const reconciler = report(base, { informers, cutServices });
  return {
    directory,
    metrics: { port: health.port },
    webhook: { port: webhooks.port },
    ready: async () => {
      await Promise.all([informers.listed(), certified]);
      return {};
    },
    stop: async () => {
      state.draining = true;
      streams.endAll();
      reconciler.stop();
      await Promise.all([webhooks.drain(), directory.drain(drainMs)]);
      informers.close();
      agent.stop();
      client.close();
      health.close();
    },
  };
}

/** What the controller sees and cannot mend: in metrics, and at pods. */
function report(
  { config, client, clock, log, agent, metrics }: Base,
  { informers, cutServices }: Pick<Directory, "informers" | "cutServices">,
): Reconciler {
  const events = createEvents({ client, clock, log, controller: "tencrypt.io/controller", instance: config.podName });
  const reconciler = startReconciler({ pods: informers.pods, namespaces: informers.namespaces, events, clock });
  metrics.follow(() => ({
    certificateEnd: agent.current()?.identity.notAfter ?? null,
    unprotected: reconciler.counts(),
    cutServices: cutServices(),
  }));
  return reconciler;
}

type Directory = {
  readonly informers: Informers;
  readonly directory: DirectoryServer;
  readonly streams: Streams;
  readonly cutServices: () => number;
};

async function startDirectory({ config, clock, log, client, agent, metrics }: Base): Promise<Directory> {
  const state = new ClusterState({ defaultMode: config.defaultMode, clusterRanges: config.clusterRanges });
  const informers = startInformers({ client, clock, log, state, onBatch: () => streams.changed() });
  const revisions = (): readonly Revision[] => informers.revisions();
  const streams = new Streams({
    state,
    clock,
    revisions,
    instance: randomBytes(8).toString("hex"),
    watching: (change) => metrics.watching(change),
  });
  const directory = await listenDirectory(config.directoryListen, {
    streams,
    lookup: new Lookup(state, client, clock),
    revisions,
    staleness: () => informers.staleness(),
    catchUp: (kind) => informers.catchUp(kind),
    lookedUp: (outcome) => metrics.lookedUp(outcome),
    credentials: () => agent.current(),
    maxLeafLifetimeMs: config.maxLeafLifetimeMs,
    clock,
    log,
  });
  log("info", "listening", { name: "directory", address: directory.address, port: directory.port });
  return { informers, directory, streams, cutServices: () => state.cut };
}

/** The root comes from the API server, which knows who may write there. */
function createAgent(
  { trustDomain, caAddress, tokenFile, maxLeafLifetimeMs }: ControllerConfig,
  client: KubeClient,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): IdentityAgent {
  const path = `/api/v1/namespaces/${control.ca.namespace}/configmaps/${rootConfigMap.name}`;
  return new IdentityAgent({
    own: { trustDomain, ...controlPlane.controller, podUid: null },
    maxLeafLifetimeMs,
    readTrust: async () => {
      const { data } = await client.get<ConfigMap>(path);
      return trustOf(data?.[rootConfigMap.key] ?? "", {
        where: `ConfigMap ${rootConfigMap.name}`,
        pins: [],
        trustDomain,
      });
    },
    connect: (trust) => createCaClient({ address: caAddress, tokenFile, maxLeafLifetimeMs, clock }, trust),
    random: () => randomBytes(4).readUInt32BE() / 2 ** 32,
    clock,
    log,
  });
}
