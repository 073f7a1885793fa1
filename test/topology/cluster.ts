/**
 * A cluster of one node: pods as network namespaces on a bridge that has a namespace of its own, so that the machine's
 * network is never touched.
 *
 *     const cluster = await createCluster();
 *     try {
 *       const web = await cluster.pod({ name: "web", project: "shop" });
 *       const server = await web.serve("http-server", 8080);
 *       const capture = await cluster.capture();
 *       ...
 *       assert.equal((await capture.stop()).count(canary), 0);
 *     } finally {
 *       await cluster.close();
 *     }
 *
 * `close` ends every process that was started in it and removes namespaces and files; so does the end of this process,
 * however it comes, and for SIGKILL the next cluster that anybody creates. Needs root.
 */
import { chmodSync, chownSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bridgeTap, loopbackTap, startCapture } from "./capture.ts";
import type { Capture } from "./capture.ts";
import type { Child } from "./child.ts";
import { network, project, service, uid } from "./directory.ts";
import type { DirectoryDocument, ProjectEntry, ProjectOptions, ServiceEntry, ServiceOptions } from "./directory.ts";
import { locateCode } from "./enter.ts";
import type { Code } from "./enter.ts";
import { clusterFolder, mountPoint, removeFolder, removeStaleFolders } from "./folders.ts";
import { limitMemory } from "./memory-limits.ts";
import type { MemoryLimit } from "./memory-limits.ts";
import { createNamespace, deleteNamespaces, ip, namespaceName, removeStaleNamespaces } from "./namespaces.ts";
import { Pod } from "./pod.ts";
import type { PodFacts, PodOptions } from "./pod.ts";

export type { Capture, Captured } from "./capture.ts";
export { Child } from "./child.ts";
export type { Json } from "./child.ts";
export type { DirectoryDocument } from "./directory.ts";
export { uids } from "./enter.ts";
export { Pod } from "./pod.ts";

/** Why a privileged test cannot run here, or false: for the `skip` option of a test. */
export const needsRoot: string | false = process.getuid?.() === 0 ? false : "needs root: makes network namespaces";

/** Fixed: a bridge that takes its first port's address forgets its neighbours with the change. */
const bridgeMac = "02:00:00:00:00:01";

export type ClusterOptions = {
  readonly trustDomain?: string;
  /** Makes the pods read the code from a bind mount even where they need not. */
  readonly mountCode?: boolean;
};

let clusters = 0;
const live = new Set<Cluster>();

export class Cluster {
  readonly #number: number;
  /** Holds everything that the cluster writes; any user may enter it. */
  readonly folder: string;
  readonly bridge: string;
  readonly trustDomain: string;
  readonly pods: Pod[] = [];
  readonly projects = new Map<string, ProjectEntry>();
  readonly services: ServiceEntry[] = [];
  readonly #namespaces: string[] = [];
  readonly #children = new Set<Child>();
  readonly #limits: MemoryLimit[] = [];
  readonly #code: Code;
  #version = 0;
  #captures = 0;

  constructor(number: number, options: ClusterOptions) {
    this.#number = number;
    this.folder = clusterFolder();
    this.trustDomain = options.trustDomain ?? "topology.test";
    this.bridge = namespaceName(number, "br");
    this.#code = locateCode(join(this.folder, mountPoint), options.mountCode ?? false);
  }

  async open(): Promise<void> {
    this.#namespaces.push(this.bridge);
    await createNamespace(this.bridge);
    const bridgeOptions = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0";
    const addresses = network.gateways.map((gateway) =>
      gateway.includes(":") ? `addr add ${gateway}/64 dev br0 nodad` : `addr add ${gateway}/24 dev br0`,
    );
    const nobody = `neigh add ${network.nobody} lladdr 02:00:00:00:00:fe dev br0 nud permanent`;
    // Promiscuous: the bridge hands every frame that it forwards to a capture.
    await ip(
      this.bridge,
      `link add br0 address ${bridgeMac} ${bridgeOptions}`,
      "link set br0 up promisc on",
      ...addresses,
      nobody,
    );
  }

  /** A project is made when it is first named; name it before its pods to give it anything but the defaults. */
  project(name: string, options: ProjectOptions = {}): ProjectEntry {
    const known = this.projects.get(name);
    if (known !== undefined && Object.keys(options).length === 0) return known;
    const index = known === undefined ? this.projects.size + 1 : 0;
    const entry = known === undefined ? project(name, index, options) : { ...known, ...options };
    this.projects.set(name, entry);
    return entry;
  }

  async pod(options: PodOptions): Promise<Pod> {
    this.project(options.project);
    const index = this.pods.length + 2;
    const facts: PodFacts = {
      serviceAccount: options.name,
      protected: true,
      listed: true,
      mode: null,
      allowFrom: [],
      ...options,
      uid: uid("pod", index),
      accountUid: uid("account", index),
      ips: [`10.77.0.${index}`, `fd77::${index.toString(16)}`],
      netns: namespaceName(this.#number, options.name),
    };
    const pod = new Pod(facts, { code: this.#code, started: (child) => this.adopt(child) });
    this.pods.push(pod);
    this.#namespaces.push(facts.netns);
    await createNamespace(facts.netns);
    await ip(
      this.bridge,
      `link add pod${index} type veth peer name eth0 netns ${facts.netns}`,
      `link set pod${index} master br0 up`,
    );
    await ip(
      facts.netns,
      "link set eth0 up",
      `addr add ${facts.ips[0]}/24 dev eth0`,
      `addr add ${facts.ips[1]}/64 dev eth0 nodad`,
      ...network.gateways.map((gateway) => `route add ${gateway.includes(":") ? "::/0" : "0.0.0.0/0"} via ${gateway}`),
    );
    return pod;
  }

  service(options: ServiceOptions): ServiceEntry {
    const entry = service(options);
    this.services.push(entry);
    return entry;
  }

  /** The document that names all pods, with the next version; `change` replaces top-level fields. */
  directory(change: Partial<DirectoryDocument> = {}): DirectoryDocument {
    return {
      version: ++this.#version,
      requires: [],
      clusterRanges: network.clusterRanges,
      nodeAddresses: network.gateways,
      projects: [...this.projects.values()],
      workloads: this.pods.flatMap((pod) => (pod.facts.listed ? [pod.workload()] : [])),
      services: this.services,
      ...change,
    };
  }

  /** The file that every proxy watches unless it is given another. */
  get directoryFile(): string {
    return join(this.makeFolder("directory", 0), "directory.json");
  }

  /** Renamed into place, so no reader sees half of it. Text is written as it is. */
  writeDirectory(document: DirectoryDocument | string = this.directory(), file: string = this.directoryFile): void {
    const text = typeof document === "string" ? document : JSON.stringify(document, null, 2);
    this.writeFile(`${file}.new`, text, 0o444);
    renameSync(`${file}.new`, file);
  }

  /** A folder below the cluster's, for everybody to read (owner 0) or for one user alone. */
  makeFolder(name: string, owner: number): string {
    const path = join(this.folder, name);
    mkdirSync(path, { recursive: true });
    own(path, owner, owner === 0 ? 0o755 : 0o700);
    return path;
  }

  writeFile(path: string, text: string, mode: number, owner = 0): void {
    writeFileSync(path, text);
    own(path, owner, mode);
  }

  writeRights(path: string, mode: number, owner = 0): void {
    own(path, owner, mode);
  }

  /** What crosses the bridge, or what a pod says to itself on its loopback device. */
  async capture(inside: Pod | null = null): Promise<Capture> {
    const file = join(this.makeFolder("capture", 0), `${++this.#captures}.pcap`);
    const tap = inside === null ? bridgeTap(this.bridge) : loopbackTap(inside.facts.netns);
    return startCapture(tap, file, (child) => this.adopt(child));
  }

  /** From now on the child ends with the cluster. */
  adopt(child: Child): void {
    this.#children.add(child);
    void child.exited.then(() => this.#children.delete(child));
  }

  async close(): Promise<void> {
    const children = [...this.#children];
    for (const child of children) child.kill();
    await Promise.all(children.map((child) => child.exited));
    this.closeNow();
  }

  /** A container's memory, for as long as the cluster is there. */
  limitMemory(name: string, mib: number): MemoryLimit {
    const limit = limitMemory(name, mib);
    this.#limits.push(limit);
    return limit;
  }

  /** Without waiting: for the end of this process. */
  closeNow(): void {
    for (const child of this.#children) child.kill();
    deleteNamespaces(this.#namespaces.splice(0));
    for (const limit of this.#limits.splice(0)) limit.remove();
    removeFolder(this.folder);
    live.delete(this);
  }
}

function own(path: string, owner: number, mode: number): void {
  chmodSync(path, mode);
  chownSync(path, owner, owner);
}

function closeAll(): void {
  for (const cluster of live) cluster.closeNow();
}

let guarded = false;

/** `exit` comes after an uncaught error too; a signal ends the process without it unless somebody listens. */
function guardProcess(): void {
  if (guarded) return;
  guarded = true;
  process.on("exit", closeAll);
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)
    process.on(signal, () => process.exit(code));
}

export async function createCluster(options: ClusterOptions = {}): Promise<Cluster> {
  guardProcess();
  if (clusters === 0) {
    await removeStaleNamespaces();
    removeStaleFolders();
  }
  const cluster = new Cluster(++clusters, options);
  live.add(cluster);
  await cluster.open();
  return cluster;
}
