/**
 * The stage: project `shop` in mode strict (a client, a server of two replicas behind a VIP, a pod without a proxy, the
 * span collector), project `other` (one protected pod), and an attacker's pod, all on one bridge. Real init, CA, proxies.
 */
import { createCluster } from "../test/topology/cluster.ts";
import type { Child, Cluster, Json, Pod } from "../test/topology/cluster.ts";
import { createForger } from "../test/topology/forgery.ts";
import type { Forger } from "../test/topology/forgery.ts";
import { startCa, startInit, startProxy } from "../test/topology/programs.ts";
import type { Ca } from "../test/topology/programs.ts";
import { expect } from "./report.ts";
import type { Report } from "./report.ts";

export const ports = { web: 8080, mail: 2525, echo: 7000, collector: 4318 } as const;
export const vips = { v4: "10.96.0.10", v6: "fd96::10", port: 80 } as const;

/** Short enough that a renewal happens while somebody watches. */
const leafTtl = "24s";

export type Pods = {
  readonly client: Pod;
  readonly server1: Pod;
  readonly server2: Pod;
  readonly legacy: Pod;
  readonly collector: Pod;
  readonly web: Pod;
  readonly attacker: Pod;
};

export type Stage = {
  readonly cluster: Cluster;
  readonly pods: Pods;
  readonly ca: Ca;
  /** By pod name. */
  readonly proxies: Map<string, Child>;
  readonly apps: Apps;
  readonly spans: Child;
  readonly forger: Forger;
};

export type Apps = {
  readonly http: Child;
  readonly dialers: Readonly<Record<"client" | "legacy" | "web" | "attacker", Child>>;
  readonly tunnels: Readonly<Record<"client" | "web" | "attacker", Child>>;
  readonly servers: readonly Child[];
  readonly echo: Child;
};

async function createPods(cluster: Cluster): Promise<Pods> {
  cluster.project("shop", { mode: "strict" });
  const server = { project: "shop", serviceAccount: "server" };
  const client = await cluster.pod({ name: "client", project: "shop" });
  const server1 = await cluster.pod({ name: "server-1", ...server });
  const server2 = await cluster.pod({ name: "server-2", ...server });
  const legacy = await cluster.pod({ name: "legacy", project: "shop", protected: false });
  const collector = await cluster.pod({ name: "collector", project: "shop" });
  const web = await cluster.pod({ name: "web", project: "other" });
  const attacker = await cluster.pod({
    name: "attacker",
    project: "default",
    serviceAccount: "default",
    protected: false,
  });
  const endpoints = [server1, server2];
  cluster.service({
    project: "shop",
    name: "server",
    vips: [vips.v4, vips.v6],
    ports: { [vips.port]: ports.web },
    endpoints,
  });
  return { client, server1, server2, legacy, collector, web, attacker };
}

export const protectedPods = ({ client, server1, server2, collector, web }: Pods): readonly Pod[] => [
  client,
  server1,
  server2,
  collector,
  web,
];

export async function startProxyOf(
  stage: Pick<Stage, "cluster" | "ca" | "pods" | "proxies">,
  pod: Pod,
): Promise<Child> {
  const { cluster, ca, pods } = stage;
  const env = {
    TENCRYPT_ACCESS_LOG: "all",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://${pods.collector.ip}:${ports.collector}`,
    OTEL_BSP_SCHEDULE_DELAY: "200",
  };
  const proxy = await startProxy(cluster, pod, { ca, env, mode: cluster.project(pod.facts.project).mode });
  stage.proxies.set(pod.name, proxy);
  return proxy;
}

async function startApps(pods: Pods): Promise<Apps> {
  const { client, server1, server2, legacy, web, attacker } = pods;
  const [one, two, , echo] = await Promise.all([
    server1.serve("http-server", ports.web),
    server2.serve("http-server", ports.web),
    server1.serve("greeting-server", ports.mail),
    server2.serve("echo-server", ports.echo),
    legacy.serve("http-server", ports.web),
  ]);
  const dial = (pod: Pod): Promise<Child> => pod.app("dialer");
  // As somebody who has taken over the pod: under the proxy's uid, which is not captured.
  const tunnel = (pod: Pod): Promise<Child> => pod.app("tunnel-client", [], { uid: 1337 });
  const [http, fromClient, fromLegacy, fromWeb, fromAttacker] = await Promise.all([
    client.app("http-client"),
    dial(client),
    dial(legacy),
    dial(web),
    dial(attacker),
  ]);
  const [clientTunnel, webTunnel, attackerTunnel] = await Promise.all([tunnel(client), tunnel(web), tunnel(attacker)]);
  return {
    http,
    dialers: { client: fromClient, legacy: fromLegacy, web: fromWeb, attacker: fromAttacker },
    tunnels: { client: clientTunnel, web: webTunnel, attacker: attackerTunnel },
    servers: [one.child, two.child],
    echo: echo.child,
  };
}

const rulesOf = (log: string): number =>
  log.split("\n").filter((line) => line.includes('"event":"redirect_proven"')).length;

/** What they have in common once, then what each adds. */
function identities(trustDomain: string, callers: readonly string[]): string {
  const start = `spiffe://${trustDomain}/ns/`;
  const rest = [...new Set(callers)].map((caller) => caller.replace(start, "")).toSorted();
  return `${start}${rest.join(", ")}`;
}

/** Null where a step failed, which the report has shown by then. */
export async function setStage(report: Report, started: (cluster: Cluster) => void): Promise<Stage | null> {
  const cluster = await createCluster({ trustDomain: "demo.local" });
  started(cluster);
  const pods = await createPods(cluster);
  const inside = protectedPods(pods);
  const rules = await report.check(`rules set and proven in ${inside.length} pods`, async () => {
    const logs = await Promise.all(inside.map((pod) => startInit(pod)));
    const families = logs.map(rulesOf);
    expect(
      families.every((count) => count === 2),
      "both families proven in each pod",
      families,
    );
    return { right: `IPv4 and IPv6, ${inside.map((pod) => pod.name).join(", ")}` };
  });
  if (!rules) return null;
  const built: { stage: Stage | null } = { stage: null };
  await report.check("CA ready, identities issued", async () => {
    const ca = await startCa(cluster, { env: { TENCRYPT_LEAF_TTL: leafTtl } });
    cluster.writeDirectory();
    const partial = { cluster, pods, ca, proxies: new Map<string, Child>() };
    const spans = await pods.collector.app("collector", ["--port", `${ports.collector}`], { event: "listening" });
    await Promise.all(inside.map((pod) => startProxyOf(partial, pod)));
    built.stage = { ...partial, spans, apps: await startApps(pods), forger: createForger(cluster, ca) };
    const callers = ca.child.events("certificate_issued").map((issued: Json) => String(issued["caller"]));
    expect(callers.length === inside.length, `${inside.length} certificates`, callers);
    return { left: `CA ready, ${callers.length} identities issued`, right: identities(cluster.trustDomain, callers) };
  });
  return built.stage;
}
