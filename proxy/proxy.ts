/**
 * The composition root: puts the proxy together and owns its life.
 *
 *   start -> services bound -> first certificate: capture bound -> first snapshot: ready -> (renewals)* -> drain -> end
 *
 * Until the first certificate the kernel refuses what it redirects here; until the first snapshot the proxy does.
 */
import { randomBytes } from "node:crypto";
import type { Server } from "node:http";
import type { Clock } from "../lib/clock/clock.ts";
import { formatSpiffeId } from "../lib/identity/spiffe-id.ts";
import type { Running, Surroundings } from "../lib/lifecycle/program.ts";
import type { Fields, Log } from "../lib/log/log.ts";
import { Registry } from "../lib/metrics/registry.ts";
import { version } from "../lib/version.ts";
import { serveAdmin } from "./admin/admin.ts";
import { serveHealth } from "./admin/health.ts";
import { serveMetrics } from "./admin/metrics.ts";
import type { ProxyConfig } from "./config.ts";
import { Dataplane } from "./dataplane.ts";
import { IdentityAgent } from "../lib/enrolment/agent.ts";
import { createCaClient } from "../lib/enrolment/ca-client.ts";
import type { Credentials } from "../lib/enrolment/identity.ts";
import { readTrust } from "../lib/enrolment/root-file.ts";
import { capacityOf, openFilesLimit } from "./listen/open-files.ts";
import type { Capacity } from "./listen/open-files.ts";
import { selfTest } from "./listen/socket-options.ts";
import { Listeners } from "./listeners.ts";
import { startObserving } from "./observe/observe.ts";
import type { ObserveOptions, Observing } from "./observe/observe.ts";
import { perform } from "./probe/perform.ts";
import { useMetrics, useProbe } from "./route/own-ports.ts";
import { bufferedWithin } from "./relay/backlog.ts";
import type { Use } from "./route/own-ports.ts";
import type { Known, Self } from "./route/policy.ts";
import { connectDirectory } from "./directory/client.ts";
import { watchDirectoryFile } from "./directory/file.ts";
import type { DirectorySource } from "./directory/source.ts";
import { StreamSource } from "./directory/stream.ts";
import { SessionPool } from "./session/pool.ts";
import { statusOf } from "./admin/status.ts";
import { connectForTelemetry } from "./telemetry.ts";

/** How long what was reset at the end of the drain may take to close. */
const closingMs = 500;

type Parts = {
  readonly agent: IdentityAgent;
  readonly directory: DirectorySource;
  readonly plane: Dataplane;
  readonly listeners: Listeners;
  readonly observing: Observing;
};

export class Proxy implements Running {
  readonly #config: ProxyConfig;
  readonly #deps: Surroundings;
  readonly #parts: Parts;
  #capture: "unbound" | "binding" | "bound" = "unbound";
  #ready = false;
  readonly #becameReady = Promise.withResolvers<Fields>();
  #drained: Promise<void> | null = null;

  private constructor(config: ProxyConfig, deps: Surroundings, parts: Parts) {
    this.#config = config;
    this.#deps = deps;
    this.#parts = parts;
  }

  /** Resolves when the services are bound; capture follows with the first certificate. */
  static async start(config: ProxyConfig, deps: Surroundings): Promise<Proxy> {
    await selfTest();
    const registry = new Registry();
    const proxyPorts = new Set<number>();
    const agent = createAgent(config, deps);
    const self = ownFacts(config, proxyPorts);
    const directory = await openDirectory(config, { ...deps, self });
    const identified = {
      credentials: () => agent.current(),
      maxLeafLifetimeMs: config.maxLeafLifetimeMs,
      clock: deps.clock,
    };
    const projects = (): ReadonlySet<string> => directory.current()?.policy.internalProjects ?? new Set([self.project]);
    const { connections: maxConnections, halfOpen: maxHalfOpen } = capacity(config, deps.log);
    const plane = new Dataplane({
      ...deps,
      self,
      directory,
      pool: new SessionPool({ ...identified, random }),
      welcome: { ...identified, projects },
      sampling: config.tracing?.sampling ?? null,
      maxConnections,
      maxBuffered: maxBuffered(config),
    });
    const listeners = new Listeners({ config, log: deps.log, plane, proxyPorts, maxHalfOpen });
    const observing = await startObserving({
      ...observed(config, deps.clock),
      ...deps,
      registry,
      connect: (host, port) => connectForTelemetry({ host, port }, plane),
    });
    const proxy = new Proxy(config, deps, { agent, directory, plane, listeners, observing });
    // A snapshot that was kept is there already, and is seen when capture is bound.
    directory.onChange(() => proxy.#changed());
    await listeners.bindServices(proxy.#services(registry));
    agent.onChange((credentials) => proxy.#credentialsChanged(credentials));
    agent.start();
    return proxy;
  }

  #services(registry: Registry): { readonly health: Server; readonly metrics: Server; readonly admin: Server } {
    const { agent, directory, plane } = this.#parts;
    const { self } = plane;
    const config = this.#config;
    const may = async (use: (known: Known) => Use): Promise<boolean> => (await plane.decide(use)).kind === "allow";
    const isReady = (): boolean => this.#ready && this.#drained === null && agent.current() !== null;
    return {
      health: serveHealth({
        isReady,
        probes: config.probes,
        // They go to the first of the pod's addresses, which is the one that a kubelet asks.
        perform: (action, gone) => perform(action, { host: config.podIps[0]!, clock: this.#deps.clock, gone }),
        mayAsk: (source, path) => may((known) => useProbe({ source, self, ...known }, path)),
      }),
      metrics: serveMetrics(registry, (source) =>
        may((known) => useMetrics({ source, self, ...known }, config.ports.metrics)),
      ),
      admin: serveAdmin({
        config,
        status: () => statusOf({ credentials: agent.current(), directory, plane }),
      }),
    };
  }

  #credentialsChanged(credentials: Credentials): void {
    const { observing, listeners, plane, directory } = this.#parts;
    observing.metrics.certificateNotAfter(credentials.identity.notAfter);
    observing.metrics.bundleVersion(credentials.bundle.version);
    listeners.renew(credentials);
    plane.pool.renew(credentials);
    directory.renew(credentials);
    plane.certified(credentials.identity.notAfter);
    if (this.#capture === "unbound") void this.#bindCapture(credentials);
  }

  /** Rejects, which ends the process, if somebody else holds a port of ours: without it nothing can be captured. */
  async #bindCapture(credentials: Credentials): Promise<void> {
    this.#capture = "binding";
    await this.#parts.listeners.bindCapture(credentials);
    this.#capture = "bound";
    this.#changed();
  }

  /** A snapshot or the capture ports have come. */
  #changed(): void {
    const view = this.#parts.directory.current();
    if (view !== null) {
      this.#parts.observing.metrics.directoryVersion(view.snapshot.version);
      this.#parts.plane.snapshotTaken(view);
    }
    if (this.#ready || view === null || this.#capture !== "bound") return;
    this.#ready = true;
    this.#becameReady.resolve({ mode: view.policy.mode, directoryVersion: view.snapshot.version });
  }

  /** Resolves when capture is bound and there are rules to decide by. */
  ready(): Promise<Fields> {
    return this.#becameReady.promise;
  }

  draining(): Fields {
    return { connections: this.#parts.plane.connections, deadlineMs: this.#config.drainMs };
  }

  /** Takes nothing new, lets what is open end until the deadline, then resets the rest. */
  stop(): Promise<void> {
    return (this.#drained ??= this.#drain());
  }

  async #drain(): Promise<void> {
    const { listeners, plane, agent, directory, observing } = this.#parts;
    listeners.drain();
    plane.pool.drain();
    await this.#lastConnection(this.#config.drainMs);
    for (const connection of plane.open) connection.destroy();
    // What was reset is told of when it has closed.
    if (plane.open.size > 0) await this.#lastConnection(closingMs);
    listeners.destroy();
    plane.pool.destroy();
    agent.stop();
    directory.close();
    await observing.stop();
  }

  #lastConnection(deadlineMs: number): Promise<void> {
    return new Promise((resolve) => {
      const deadline = this.#deps.clock.after(deadlineMs, resolve);
      this.#parts.plane.whenIdle(() => {
        deadline.cancel();
        resolve();
      });
    });
  }
}

/** Says so where fewer connections fit into the open files than the settings want. */
function capacity({ maxConnections }: ProxyConfig, log: Log): Capacity {
  const openFiles = openFilesLimit();
  const fitting = capacityOf(openFiles, maxConnections);
  if (fitting.connections < maxConnections) log("warn", "few_open_files", { openFiles, ...fitting });
  return fitting;
}

function maxBuffered({ maxBufferedMib }: ProxyConfig): number {
  return maxBufferedMib === null ? bufferedWithin(process.constrainedMemory()) : maxBufferedMib * 1024 * 1024;
}

function observed(config: ProxyConfig, clock: Clock): Pick<ObserveOptions, "settings" | "facts"> {
  const { trustDomain, namespace: project, serviceAccount, podName, podUid, tracing, accessLog } = config;
  const identity = formatSpiffeId({ trustDomain, project, serviceAccount });
  return {
    settings: { tracing, connections: accessLog },
    facts: { identity, project, podName, podUid, version, startedAt: clock.now() },
  };
}

function ownFacts(config: ProxyConfig, proxyPorts: ReadonlySet<number>): Self {
  return {
    project: config.namespace,
    podUid: config.podUid,
    ips: new Set(config.podIps),
    floor: config.mode,
    proxyPorts,
  };
}

type DirectoryParts = Pick<Surroundings, "clock" | "log"> & { readonly self: Self };

async function openDirectory(config: ProxyConfig, parts: DirectoryParts): Promise<DirectorySource> {
  const { directory, maxLeafLifetimeMs } = config;
  if (directory.kind === "file") return watchDirectoryFile({ path: directory.path, ...parts });
  const { address, stateFolder } = directory;
  return StreamSource.start({
    connect: ({ credentials }) => connectDirectory({ address, credentials, maxLeafLifetimeMs, clock: parts.clock }),
    stateFolder,
    random,
    ...parts,
  });
}

const random = (): number => randomBytes(4).readUInt32BE() / 2 ** 32;

function createAgent(config: ProxyConfig, deps: Surroundings): IdentityAgent {
  const { trustDomain, namespace, serviceAccount, podUid, maxLeafLifetimeMs } = config;
  return new IdentityAgent({
    own: { trustDomain, project: namespace, serviceAccount, podUid },
    maxLeafLifetimeMs,
    readTrust: () => readTrust({ file: config.caRootFile, pins: config.caRootPins, trustDomain }),
    connect: (trust) =>
      createCaClient(
        { address: config.caAddress, tokenFile: config.tokenFile, maxLeafLifetimeMs, clock: deps.clock },
        trust,
      ),
    random,
    ...deps,
  });
}
