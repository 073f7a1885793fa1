/**
 * Two pods for each contender, all with the same capture rules, so that the kernel does the same work for all: the
 * load dials the application's address, is redirected to 15001, and what listens there is the contender.
 */
import { join } from "node:path";
import { proxyLaunch } from "../../build/proxy-launch.ts";
import { bundleAll } from "../../build/bundle.ts";
import { createPki } from "../../test/pki/pki.ts";
import type { Pki } from "../../test/pki/pki.ts";
import { createCluster } from "../../test/topology/cluster.ts";
import type { Child, Cluster, Pod } from "../../test/topology/cluster.ts";
import { uids } from "../../test/topology/enter.ts";
import { proxyEnvironment, startCa, startInit } from "../../test/topology/programs.ts";
import type { Ca } from "../../test/topology/programs.ts";
import type { Arguments, ContenderName, Variant } from "./arguments.ts";
import { familyOf } from "./process.ts";
import { buildRevision } from "./revision.ts";
import { applicationPort, nginxFrame, startRival } from "./rivals.ts";
import type { Side } from "./rivals.ts";

export type Contender = {
  readonly name: string;
  readonly isOurs: boolean;
  readonly pods: Readonly<Record<Side, Pod>>;
  readonly proxies: Readonly<Record<Side, Child>>;
  /** Master and workers. */
  readonly pids: Readonly<Record<Side, readonly number[]>>;
};

export const sides: readonly Side[] = ["client", "server"];
const sinkPort = 8081;

type Plan = {
  readonly name: string;
  readonly kind: ContenderName;
  readonly dist: string;
  readonly pods: Readonly<Record<Side, Pod>>;
  /** Of our proxies, beside what every pod gives. */
  readonly env?: Readonly<Record<string, string>>;
};
type Field = { readonly cluster: Cluster; readonly ca: Ca | null; readonly pki: Pki; readonly profiles: string | null };

export async function startContenders(args: Arguments, started: (cluster: Cluster) => void): Promise<Contender[]> {
  const cluster = await createCluster();
  started(cluster);
  cluster.project("shop", { mode: "strict" });
  const dist = join(cluster.folder, "dist");
  await bundleAll(dist);
  const plans: Plan[] = [];
  for (const kind of args.contenders) plans.push({ name: kind, kind, dist, pods: await createPods(cluster, kind) });
  for (const { name, dist: own } of [...args.variants, ...builtRevisions(args, cluster.folder)])
    plans.push({ name, kind: "tencrypt", dist: own, pods: await createPods(cluster, name) });
  const collector = args.traced.length === 0 ? null : await cluster.pod({ name: "collector", project: "shop" });
  for (const [index, share] of args.traced.entries()) {
    const env = tracingTo(collector!, share);
    plans.push({ name: `traced ${share}`, kind: "tencrypt", dist, pods: await createPods(cluster, `t${index}`), env });
  }
  const ours = plans.some(({ kind }) => kind === "tencrypt");
  const pods = [...plans.flatMap((plan) => sides.map((side) => plan.pods[side])), ...(collector ? [collector] : [])];
  await Promise.all(pods.map((pod) => startInit(pod)));
  const field: Field = {
    cluster,
    ca: ours ? await startCa(cluster) : null,
    pki: createPki({ projects: [] }),
    profiles: args.profiles,
  };
  cluster.writeDirectory();
  if (collector !== null) {
    await startApplication(cluster, collector);
    await startOurs({ dist }, collector, field);
  }
  const contenders: Contender[] = [];
  for (const plan of plans) contenders.push(await startContender(plan, field));
  return contenders;
}

/** Named by number: a commit's name may be longer than a network namespace's. */
function builtRevisions({ against }: Arguments, folder: string): readonly Variant[] {
  return against.map((revision, index) => {
    const variant = { name: `against-${index + 1}`, dist: join(folder, `dist-${index + 1}`) };
    console.log(`${variant.name}: building ${revision}`);
    buildRevision(revision, variant.dist);
    return variant;
  });
}

/** Spans leave through the tunnel, as they do in a cluster with a protected collector. */
const tracingTo = ({ ip }: Pod, share: number): Readonly<Record<string, string>> => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: `http://${ip}:${applicationPort}`,
  OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
  OTEL_TRACES_SAMPLER_ARG: String(share),
});

async function createPods(cluster: Cluster, name: string): Promise<Record<Side, Pod>> {
  const client = await cluster.pod({ name: `${name}-client`, project: "shop" });
  const server = await cluster.pod({ name: `${name}-server`, project: "shop" });
  return { client, server };
}

async function startContender(plan: Plan, field: Field): Promise<Contender> {
  const { name, kind, pods } = plan;
  await startApplication(field.cluster, pods.server);
  const isOurs = kind === "tencrypt";
  const start = (side: Side): Promise<Child> | Child =>
    isOurs
      ? startOurs(plan, pods[side], field)
      : startRival(kind, { cluster: field.cluster, pki: field.pki, pods, side });
  const server = await start("server");
  const client = await start("client");
  await answers(pods);
  const pids = { client: familyOf(client.pid), server: familyOf(server.pid) };
  return { name, isOurs, pods, proxies: { client, server }, pids };
}

async function startOurs(
  { dist, env: more = {} }: Pick<Plan, "dist" | "env">,
  pod: Pod,
  { cluster, ca, profiles }: Field,
): Promise<Child> {
  if (ca === null) throw new Error("no CA was started");
  const [node = ""] = pod.nodeCommand("");
  const profiling =
    profiles === null ? [] : ["--cpu-prof", `--cpu-prof-dir=${cluster.makeFolder("profiles", uids.proxy)}`];
  const file = profiles === null ? [] : [`--cpu-prof-name=${pod.name}.cpuprofile`, "--cpu-prof-interval=400"];
  const env = proxyEnvironment(cluster, pod, { ca, mode: "strict", env: more });
  const command = [node, ...proxyLaunch.flags, ...profiling, ...file, join(dist, "proxy/main.js")];
  const child = pod.spawn("proxy", command, { uid: uids.proxy, env: { ...proxyLaunch.env, ...env } });
  await child.event("ready");
  return child;
}

/** 1 KB at /, 100 MB at /bulk, and /sink reads all that it is sent before it answers. */
async function startApplication(cluster: Cluster, pod: Pod): Promise<void> {
  const folder = cluster.makeFolder(`application-${pod.name}`, uids.application);
  cluster.writeFile(join(folder, "small"), "x".repeat(1024), 0o444);
  const http = `
  server {
    listen ${applicationPort};
    location = /small { root ${folder}; }
    location = /v1/traces { return 200; }
    location = /sink {
      proxy_pass http://127.0.0.1:${sinkPort};
      proxy_http_version 1.1;
      proxy_request_buffering off;
    }
    location = /bulk {
      proxy_pass http://127.0.0.1:${sinkPort};
      proxy_http_version 1.1;
      proxy_max_temp_file_size 0;
      proxy_buffers 32 64k;
      proxy_buffer_size 64k;
    }
  }`;
  const file = join(folder, "application.conf");
  cluster.writeFile(file, nginxFrame(folder, http), 0o444);
  pod.spawn("application", ["nginx", "-p", folder, "-c", file, "-e", "stderr"]);
  const sink = pod.spawn("sink", pod.nodeCommand("bench/data-path/apps/sink.ts", [`${sinkPort}`]));
  await sink.event("listening");
}

/** Rivals say nothing when they are ready, so they are asked until they answer. */
async function answers({ client, server }: Readonly<Record<Side, Pod>>): Promise<void> {
  const url = urlOf(server, "small");
  let outcome = { code: 1 as number | null, stderr: "", stdout: "" };
  for (let attempt = 0; attempt < 50; attempt++) {
    outcome = await client.exec("wrk", ["-t1", "-c1", "-d1", url]);
    if (/Requests\/sec: +[1-9]/.test(outcome.stdout) && !outcome.stdout.includes("Non-2xx")) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${server.name} does not answer: ${outcome.stdout}${outcome.stderr}`);
}

export const urlOf = (server: Pod, what: "small" | "bulk" | "sink"): string =>
  `http://${server.ip}:${applicationPort}/${what}`;
