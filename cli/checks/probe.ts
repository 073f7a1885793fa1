/**
 * Tries on every node what an installation will need, by pods in a namespace of their own, which is taken away again
 * whatever happens: after an error, after Ctrl-C, and when the time is over.
 */
import { stayAlive } from "../../lib/clock/clock.ts";
import type { Clock } from "../../lib/clock/clock.ts";
import { isStatus, KubeError } from "../../lib/kube/client.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { listAll } from "../../lib/kube/list.ts";
import { control } from "../../lib/kube/names.ts";
import type { Node, Service } from "../../lib/kube/objects.ts";
import { Failure } from "../failure.ts";
import { eventsIn } from "./init-events.ts";
import type { InitEvent } from "./init-events.ts";
import { mostNodes } from "./nodes.ts";
import type { ProbedPod, ProbeFacts, Reach } from "./probe-facts.ts";
import { nodesToProbe, peerOf, probeNamespace, probePod, probeService, serverName } from "./probe-objects.ts";
import type { ProbeImage } from "./probe-objects.ts";
import { startProblem, waitsFor } from "./probe-status.ts";
import type { ProbePod } from "./probe-status.ts";

const longestMs = 180_000;
const pauseMs = 500;
const removalMs = 30_000;

type Run = {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly image: ProbeImage;
  /** Of the namespace. */
  readonly path: string;
  /** False when it has taken too long; throws where somebody wants it to stop. */
  readonly mayGoOn: () => boolean;
  readonly note: (text: string) => void;
};

type ProbeOrder = Pick<Run, "client" | "clock" | "image" | "note">;

export async function probe(order: ProbeOrder): Promise<ProbeFacts> {
  const { client, clock, note } = order;
  const stop = stopSignal();
  const alive = stayAlive();
  const deadline = clock.monotonic() + longestMs;
  const name = `tencrypt-check-${Math.floor(clock.now()).toString(36)}`;
  const mayGoOn = (): boolean => {
    if (stop.isAsked()) throw new Failure("stopped: nothing was judged", "tencrypt check --pre --probe");
    return clock.monotonic() < deadline;
  };
  try {
    await makeNamespace(order, name);
    try {
      return await probeIn({ ...order, path: `/api/v1/namespaces/${name}`, mayGoOn });
    } finally {
      await removeNamespace({ client, clock, note }, name);
    }
  } finally {
    stop.forget();
    alive.cancel();
  }
}

/** The second Ctrl-C ends the program as it would without us. */
function stopSignal(): { isAsked(): boolean; forget(): void } {
  let asked = false;
  const ask = (): void => void (asked = true);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.once(signal, ask);
  return {
    isAsked: () => asked,
    forget: () => {
      for (const signal of signals) process.off(signal, ask);
    },
  };
}

/** One whose answer is lost may be there. */
async function makeNamespace(order: ProbeOrder, name: string): Promise<void> {
  order.note(`making namespace ${name}: it goes when this is done\n`);
  try {
    await order.client.create("/api/v1/namespaces", probeNamespace(name));
  } catch (error) {
    if (!isStatus(error, 401, 403, 409)) await removeNamespace(order, name).catch(() => {});
    throw error;
  }
}

/** Waited for, so that the next look at the cluster finds it as it was. */
async function removeNamespace({ client, clock, note }: Omit<ProbeOrder, "image">, name: string): Promise<void> {
  const path = `/api/v1/namespaces/${name}`;
  const deadline = clock.monotonic() + removalMs;
  let why = "";
  for (;;) {
    try {
      await client.delete(path);
    } catch (error) {
      if (isStatus(error, 404)) return;
      // 409: it is going already.
      why = isStatus(error, 409) ? "" : (error as Error).message;
    }
    if (clock.monotonic() >= deadline) break;
    await pause(clock);
  }
  if (why !== "")
    throw new Failure(`namespace ${name} could not be removed: ${why}`, `kubectl delete namespace ${name}`);
  note(
    `namespace ${name} is being removed, and was not gone after ${removalMs / 1000} s: kubectl get namespace ${name}\n`,
  );
}

const pause = (clock: Clock): Promise<void> => new Promise((resolve) => void clock.after(pauseMs, resolve));

async function probeIn(run: Run): Promise<ProbeFacts> {
  const { client, path, note } = run;
  const { chosen, unready, beyond } = nodesToProbe(await listAll<Node>(client, "/api/v1/nodes"), mostNodes);
  const service = await client.create<Service>(`${path}/services`, probeService);
  const serviceIp = service.spec.clusterIP ?? "";
  const [first] = chosen;
  if (first === undefined) return { pods: [], serviceIp, unready, beyond };
  const refused = new Map<string, string>();
  note(`trying ${chosen.length} nodes with ${run.image.image}: at most ${longestMs / 60_000} minutes\n`);
  await makePod(run, { name: serverName, node: first, peers: [] }, refused);
  const ips = await serverIps(run);
  const peers = [...ips.map((ip) => peerOf(ip)), peerOf(serviceIp, 443)];
  const wanted = chosen.map((node, index) => ({ name: `caller-${index}`, node, peers }));
  for (const pod of wanted) await makePod(run, pod, refused);
  const found = await follow(run, wanted.length + 1 - refused.size);
  const pods = [{ name: serverName, node: first }, ...wanted].map(({ name, node }) => ({
    ...(found.get(name) ?? {
      fault: refused.get(name) ?? `not done after ${longestMs / 1000} s`,
      ips: [],
      events: [],
      reach: null,
    }),
    node,
  }));
  return { pods, serviceIp, unready, beyond };
}

type Wanted = { readonly name: string; readonly node: string; readonly peers: readonly string[] };

/** The account that every namespace gets comes a moment after it. */
const tooEarly = /serviceaccount "default" not found/;

async function makePod(run: Run, { name, node, peers }: Wanted, refused: Map<string, string>): Promise<void> {
  for (;;) {
    try {
      return void (await run.client.create(`${run.path}/pods`, probePod(name, node, run.image, peers)));
    } catch (error) {
      if (!(error instanceof KubeError) || error.code === 0 || error.code === 401) throw error;
      if (!tooEarly.test(error.message) || !run.mayGoOn()) return void refused.set(name, error.message);
    }
    await pause(run.clock);
  }
}

/** None where it does not start. */
async function serverIps(run: Run): Promise<readonly string[]> {
  while (run.mayGoOn()) {
    const pod = await run.client.find<ProbePod>(`${run.path}/pods/${serverName}`);
    const ips = ipsOf(pod);
    if (pod === null || ips.length > 0 || startProblem(pod) !== null) return ips;
    await pause(run.clock);
  }
  return [];
}

const ipsOf = (pod: ProbePod | null): readonly string[] =>
  pod?.status?.podIPs?.map(({ ip }) => ip).filter((ip) => ip !== undefined) ?? [];

type Found = Omit<ProbedPod, "node">;

/** Until each pod has done its work, or will not; a pod that is late is told as such. */
async function follow(run: Run, count: number): Promise<ReadonlyMap<string, Found>> {
  const done = new Map<string, Found>();
  let waiting: readonly ProbePod[] = [];
  while (done.size < count && run.mayGoOn()) {
    const pods = await listAll<ProbePod>(run.client, `${run.path}/pods`);
    waiting = pods.filter(({ metadata }) => !done.has(metadata.name));
    const looked = await Promise.all(waiting.map(async (pod) => ({ pod, found: await look(run, pod) })));
    for (const { pod, found } of looked) if (found !== null) done.set(pod.metadata.name, found);
    if (done.size < count) await pause(run.clock);
  }
  for (const pod of waiting.filter(({ metadata }) => !done.has(metadata.name))) {
    const said = await logOf(run, pod);
    const why = said.fault ?? waitsFor(pod);
    const fault = `not done after ${longestMs / 1000} s${why === null ? "" : `: ${why}`}`;
    done.set(pod.metadata.name, { fault, ips: ipsOf(pod), events: said.events, reach: null });
  }
  return done;
}

/** Null while it is not done. */
async function look(run: Run, pod: ProbePod): Promise<Found | null> {
  const isPending = pod.status?.phase === "Pending";
  const said = isPending ? { events: [], fault: null, isForbidden: false } : await logOf(run, pod);
  const fault = startProblem(pod) ?? (said.isForbidden ? said.fault : null);
  if (fault !== null) return { fault, ips: ipsOf(pod), events: said.events, reach: null };
  if (!said.events.some(({ event }) => event === "probe_done")) return null;
  return { fault: null, ips: ipsOf(pod), events: said.events, reach: await reachOf(run, pod) };
}

type Said = { readonly events: readonly InitEvent[]; readonly fault: string | null; readonly isForbidden: boolean };

/** A kubelet may not have it yet; who may not read it is not helped by waiting. */
async function logOf(run: Run, { metadata }: ProbePod): Promise<Said> {
  try {
    const text = await run.client.text(`${run.path}/pods/${metadata.name}/log?tailLines=100&limitBytes=65536`);
    return { events: eventsIn(text), fault: null, isForbidden: false };
  } catch (error) {
    const fault = `its log cannot be read: ${(error as Error).message}`;
    return { events: [], fault, isForbidden: isStatus(error, 401, 403) };
  }
}

const { webhookPort } = control.controller;

async function reachOf(run: Run, { metadata }: ProbePod): Promise<Reach> {
  try {
    await run.client.text(`${run.path}/pods/${metadata.name}:${webhookPort}/proxy/`);
    return { kind: "reached" };
  } catch (error) {
    return { kind: isStatus(error, 401, 403) ? "unknown" : "unreached", why: (error as Error).message };
  }
}
