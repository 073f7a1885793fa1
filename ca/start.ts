/** Puts the ca together and brings it up; `stop` drains it. Settings and the clock are arguments, so that tests start the real thing in-process. */
import { hostname } from "node:os";
import type { Clock } from "../lib/clock/clock.ts";
import type { Log } from "../lib/log/log.ts";
import { AccessError, loadAccess } from "../lib/kube/access.ts";
import { KubeClient } from "../lib/kube/client.ts";
import { createEvents } from "../lib/kube/events.ts";
import type { Events } from "../lib/kube/events.ts";
import { createAudit } from "./audit.ts";
import type { Authenticator } from "./authn/caller.ts";
import { KeyFile } from "./authn/key-file.ts";
import { kubernetesAuthenticator } from "./authn/kubernetes.ts";
import { staticAuthenticator } from "./authn/static.ts";
import { Publisher } from "./bundle/publisher.ts";
import { Ca } from "./ca.ts";
import type { CaSettings } from "./ca.ts";
import type { CaConfig } from "./config.ts";
import { ServingCredentials } from "./grpc/credentials.ts";
import { listen, sourcesArePods, sourcesAreShared } from "./grpc/server.ts";
import type { GrpcServer } from "./grpc/server.ts";
import { listenHealth } from "../lib/http/health.ts";
import { createMetrics } from "./metrics.ts";
import { Reach } from "./reach.ts";
import { keepControlPlaneAlive } from "./renewal.ts";
import type { AuthorityEnd, CaMetrics } from "./metrics.ts";
import { startServing } from "./serving.ts";
import type { Serving } from "./serving.ts";
import { openFolder } from "./store/folder.ts";
import { openKubernetes } from "./store/kubernetes.ts";
import type { Store } from "./store/store.ts";

const mostConcurrent = 64;
/** A proxy asks for a certificate and a stream, and for both once more while it replaces them. */
const mostOfOnePod = 8;
const drainMs = 5_000;

export type RunningCa = { readonly address: string; readonly port: number; stop(): Promise<void> };

/** Something that an operator has to mend before the ca can start; the message is one line. */
export class StartError extends Error {}

export async function start(
  config: CaConfig,
  clock: Clock,
  log: Log,
  logIsFull: () => boolean = () => false,
): Promise<RunningCa> {
  const client = kubeClient(config, clock);
  const metrics = createMetrics();
  const authenticator = await openAuthenticator(config, client, { clock, log, metrics });
  const store = await openStore(config, client, { clock, log });
  const publisher = await Publisher.start(store, { clock, log });
  const ends = followEnds(store, publisher);
  metrics.follow(() => ({ version: publisher.current.version, ends: ends() }));
  const ca = new Ca({
    settings: settingsOf(config),
    authenticator,
    store,
    publisher,
    audit: createAudit({ log, logIsFull, metrics, clock }),
    clock,
  });
  const { serving, credentials } = serve(config, store, clock, log);
  const server = await listen(config.listen, credentials, {
    ca,
    publisher,
    clock,
    log,
    watching: (change) => metrics.watching(change),
    bounds: seesPods(config) ? sourcesArePods : sourcesAreShared,
  }).catch((error: Error) => {
    throw new StartError(`TENCRYPT_CA_LISTEN: ${error.message}`);
  });
  log("info", "listening", { name: "ca", address: server.address, port: server.port });
  const reach = client === null ? null : new Reach(client, clock);
  reach?.start();
  const closeHealth = await openHealth(config, metrics, { log, isReachable: () => reach?.isReachable ?? true });
  const stopRenewal = keepControlPlaneAlive(store, clock);
  const stopAll = async (): Promise<void> => {
    stopRenewal();
    reach?.stop();
    await stop(server, { serving, publisher, closeHealth });
    client?.close();
  };
  return { address: server.address, port: server.port, stop: stopAll };
}

const settingsOf = (config: CaConfig): CaSettings => ({
  trustDomain: config.trustDomain,
  leafTtl: config.leafTtl,
  rateLimit: config.rateLimit,
  mostConcurrent,
  mostOfOneSource: seesPods(config) ? mostOfOnePod : mostConcurrent,
});

/** A pod that calls from an address other than its own is refused. */
const seesPods = ({ authenticator }: CaConfig): boolean =>
  authenticator.kind === "kubernetes" && authenticator.sourceCheck === "enforce";

type Surroundings = { readonly clock: Clock; readonly log: Log };

/** Null where nothing is asked of Kubernetes. */
function kubeClient({ authenticator, store }: CaConfig, clock: Clock): KubeClient | null {
  if (authenticator.kind !== "kubernetes" && store.kind !== "kubernetes") return null;
  try {
    return new KubeClient(loadAccess({}), clock);
  } catch (error) {
    if (error instanceof AccessError) throw new StartError(error.message);
    throw error;
  }
}

async function openAuthenticator(
  { authenticator: settings, tokenAudience: audience }: CaConfig,
  client: KubeClient | null,
  { clock, log, metrics }: Surroundings & { readonly metrics: CaMetrics },
): Promise<Authenticator> {
  const events = (kube: KubeClient): Events =>
    createEvents({ client: kube, clock, log, controller: "tencrypt.io/ca", instance: hostname() });
  if (settings.kind === "kubernetes")
    return kubernetesAuthenticator(
      { ...settings, audience },
      { client: client!, clock, log, events: events(client!), cameFromElsewhere: () => metrics.cameFromElsewhere() },
    );
  const keyFile = new KeyFile(settings.file, log);
  const keys = await keyFile.keys();
  if (keys.kind === "unusable") throw new StartError(`${settings.file} ${keys.detail}`);
  return staticAuthenticator({ issuer: settings.issuer, audience }, keyFile, clock);
}

function openStore(
  { store, trustDomain }: CaConfig,
  client: KubeClient | null,
  { clock, log }: Surroundings,
): Promise<Store> {
  return store.kind === "kubernetes"
    ? openKubernetes({ ...store, trustDomain }, { client: client!, clock, log })
    : openFolder({ path: store.path, trustDomain }, clock, log);
}

function serve(
  config: CaConfig,
  store: Store,
  clock: Clock,
  log: Log,
): { serving: Serving; credentials: ServingCredentials } {
  const settings = { trustDomain: config.trustDomain, servingNames: config.servingNames, ttl: config.leafTtl };
  const serving = startServing(settings, store, { clock, log, replaced: (identity) => credentials.replace(identity) });
  const credentials = new ServingCredentials(serving.identity);
  return { serving, credentials };
}

/** Ready from here on until the drain begins, while the API server answers. */
async function openHealth(
  config: CaConfig,
  metrics: CaMetrics,
  { log, isReachable }: { readonly log: Log; readonly isReachable: () => boolean },
): Promise<{ notReady(): void; close(): void }> {
  if (config.metricsPort === null) return { notReady: () => {}, close: () => {} };
  let ready = true;
  const health = await listenHealth(
    { host: config.listen.host, port: config.metricsPort },
    metrics.registry,
    () => ready && isReachable(),
  );
  log("info", "listening", { name: "metrics", address: health.address, port: health.port });
  return { notReady: () => (ready = false), close: () => health.close() };
}

type ToStop = {
  readonly serving: Serving;
  readonly publisher: Publisher;
  readonly closeHealth: { notReady(): void; close(): void };
};

async function stop(server: GrpcServer, { serving, publisher, closeHealth }: ToStop): Promise<void> {
  closeHealth.notReady();
  await server.drain(drainMs);
  publisher.stop();
  serving.stop();
  closeHealth.close();
}

/** Made anew only where something has changed: whoever reaches the port may ask for the metrics as often as it likes. */
function followEnds(store: Store, publisher: Publisher): () => readonly AuthorityEnd[] {
  let ends: readonly AuthorityEnd[] = [];
  let seen: readonly unknown[] = [];
  return () => {
    const now = [store.controlPlane, publisher.current.knowledge];
    if (now.some((each, index) => each !== seen[index])) ends = endsOf(store, publisher);
    seen = now;
    return ends;
  };
}

function endsOf(store: Store, publisher: Publisher): readonly AuthorityEnd[] {
  return [
    { authority: "root", project: "", notAfter: store.root.certificate.notAfter },
    { authority: "control-plane", project: "", notAfter: store.controlPlane.certificate.notAfter },
    ...[...publisher.current.knowledge.projects.values()].map(({ name, authoritiesEnd }): AuthorityEnd => ({
      authority: "project",
      project: name,
      notAfter: authoritiesEnd,
    })),
  ];
}
