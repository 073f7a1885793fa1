/**
 * A cluster in which everything runs: a CA, and in every protected pod the rules and a proxy.
 *
 *     const mesh = await startMesh({ projects: { shop: { mode: "strict" } }, pods: [{ name: "client", project: "shop" }] });
 *     ...
 *     await mesh.close();
 *
 * Access logs are complete, so that a test can wait for what a proxy says of a connection.
 */
import type { Mode } from "../../lib/project/mode.ts";
import type { Child } from "./child.ts";
import { createCluster } from "./cluster.ts";
import type { Cluster } from "./cluster.ts";
import type { DirectoryDocument, ProjectOptions } from "./directory.ts";
import type { Pod, PodOptions } from "./pod.ts";
import { startCa, startInit, startProxy } from "./programs.ts";
import type { Ca, ProxyOptions } from "./programs.ts";

export type MeshOptions = {
  /** Those that are not here have the defaults: mode `project`. */
  readonly projects?: Readonly<Record<string, ProjectOptions>>;
  readonly pods: readonly PodOptions[];
  /** Of every pod; default: the mode of its project. */
  readonly floor?: Mode;
  readonly leafTtl?: string;
  /** Runs in the place of the ca. */
  readonly caScript?: string;
  /** Further settings of the ca. */
  readonly ca?: Readonly<Record<string, string>>;
  /** Protected pods that get rules, but no proxy yet. */
  readonly without?: readonly string[];
  /** Runs before the directory is written and proxies start. */
  readonly prepare?: (mesh: Mesh) => void;
};

export type StartOptions = Partial<Omit<ProxyOptions, "ca">>;

export class Mesh {
  readonly cluster: Cluster;
  ca: Ca;
  readonly #floor: Mode | null;
  readonly #proxies = new Map<string, Child>();

  constructor(cluster: Cluster, ca: Ca, floor: Mode | null) {
    this.cluster = cluster;
    this.ca = ca;
    this.#floor = floor;
  }

  pod(name: string): Pod {
    const pod = this.cluster.pods.find((each) => each.name === name);
    if (pod === undefined) throw new Error(`no pod ${name}`);
    return pod;
  }

  /** The proxy that was started last in the pod. */
  proxy(name: string): Child {
    const proxy = this.#proxies.get(name);
    if (proxy === undefined) throw new Error(`no proxy was started in ${name}`);
    return proxy;
  }

  async startProxy(name: string, { env, ...options }: StartOptions = {}): Promise<Child> {
    const pod = this.pod(name);
    const mode = this.#floor ?? this.cluster.project(pod.facts.project).mode;
    const proxy = await startProxy(this.cluster, pod, {
      ca: this.ca,
      mode,
      ...options,
      env: { TENCRYPT_ACCESS_LOG: "all", ...env },
    });
    this.#proxies.set(name, proxy);
    return proxy;
  }

  /** The sessions that the pod's proxy says it has. */
  async sessions(name: string): Promise<readonly { readonly generation: number }[]> {
    const status = await this.pod(name).must("curl", ["-s", "http://127.0.0.1:15000/status"]);
    return (JSON.parse(status) as { sessions: { generation: number }[] }).sessions;
  }

  /** Writes the document of now and waits until those proxies, by default all that run, have taken it. */
  async publish(
    change: Partial<DirectoryDocument> = {},
    to: readonly Child[] = this.running,
    timeoutMs?: number,
  ): Promise<void> {
    const document = this.cluster.directory(change);
    this.cluster.writeDirectory(document);
    const isThis = (line: Readonly<Record<string, unknown>>): boolean => line["version"] === document.version;
    const wait = timeoutMs === undefined ? {} : { timeoutMs };
    await Promise.all(to.map((proxy) => proxy.event("directory_accepted", isThis, wait)));
  }

  get running(): readonly Child[] {
    return [...this.#proxies.values()].filter((proxy) => proxy.end === null);
  }

  async close(): Promise<void> {
    await this.cluster.close();
  }
}

export async function startMesh(options: MeshOptions): Promise<Mesh> {
  const cluster = await createCluster();
  try {
    for (const [name, project] of Object.entries(options.projects ?? {})) cluster.project(name, project);
    for (const pod of options.pods) await cluster.pod(pod);
    const inside = cluster.pods.filter((pod) => pod.facts.protected);
    const rules = inside.map((pod) => startInit(pod));
    const leafTtl = options.leafTtl === undefined ? {} : { TENCRYPT_LEAF_TTL: options.leafTtl };
    const ca = await startCa(cluster, {
      env: { ...leafTtl, ...options.ca },
      ...(options.caScript === undefined ? {} : { script: options.caScript }),
    });
    await Promise.all(rules);
    const mesh = new Mesh(cluster, ca, options.floor ?? null);
    options.prepare?.(mesh);
    cluster.writeDirectory();
    const proxied = inside.filter((pod) => options.without?.includes(pod.name) !== true);
    await Promise.all(proxied.map((pod) => mesh.startProxy(pod.name)));
    return mesh;
  } catch (error) {
    await cluster.close();
    throw error;
  }
}
