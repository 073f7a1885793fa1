/**
 * A real cluster with nodes on this machine: kubelet, containerd, kube-proxy and CoreDNS, and the images of this tree
 * loaded under the names that the chart has by default. Root. A cluster whose process is gone is taken down by the next
 * one that starts.
 */
import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { KubernetesClient } from "./client.ts";
import type { Caller } from "./client.ts";
import { Objects } from "./objects.ts";
import { cacheFolder, setUp } from "./set-up.ts";

const scripts = join(import.meta.dirname, "nodes");
const clusters = (): string => join(cacheFolder(), "clusters");
const mostClusters = 200;

export type Answer = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** Where one cluster is: its folder, and the third octet of its node network. */
export type Place = { readonly name: string; readonly index: number; readonly state: string };

/** `NAME/INDEX`, as tests and commands name one to each other. */
export function readPlace(text: string): Place {
  const [name = "", index = ""] = text.split("/");
  return placeOf(name, Number(index));
}

const placeOf = (name: string, index: number): Place => ({ name, index, state: join(clusters(), name) });

const environmentOf = (place: Place): NodeJS.ProcessEnv => ({
  PATH: `${join(cacheFolder(), "bin")}:${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`,
  HOME: place.state,
  TENCRYPT_CACHE: cacheFolder(),
  CLUSTER_STATE: place.state,
  CLUSTER_NAME: place.name,
  CLUSTER_INDEX: String(place.index),
});

/** Brings the cluster up; says in which steps and how long each took. */
export async function up(place: Place, nodes: number): Promise<string> {
  const env = { ...environmentOf(place), CLUSTER_NODES: String(nodes) };
  const { stdout } = await promisify(execFile)(join(scripts, "up.sh"), [], { env, maxBuffer: 1 << 24 });
  return stdout;
}

/** Takes all of it away, also what a half-made one has left. */
export function down(place: Place): void {
  const { status, stderr } = spawnSync(join(scripts, "down.sh"), [], { env: environmentOf(place), encoding: "utf8" });
  if (status !== 0) throw new Error(`down.sh ended with ${status}: ${stderr}`);
}

const ownerFile = (state: string): string => `${state}.owner`;

/** Clusters whose process was ended before it could take them down. */
export function removeStale(): void {
  if (!existsSync(clusters())) return;
  for (const file of readdirSync(clusters()).filter((name) => name.endsWith(".owner"))) {
    const owner = ownerOf(join(clusters(), file));
    if (owner === null || existsSync(`/proc/${owner}`)) continue;
    const name = file.replace(/\.owner$/, "");
    down(placeOf(name, 0));
    rmSync(join(clusters(), file), { force: true });
  }
}

/** Null where its cluster has been taken down meanwhile, by its owner or another that starts. */
function ownerOf(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** A name and a network that no other process has: the file is made by one only. */
function reserve(): Place {
  mkdirSync(clusters(), { recursive: true });
  for (let index = 1; index <= mostClusters; index++) {
    const place = placeOf(`t${index}`, index);
    try {
      writeFileSync(ownerFile(place.state), String(process.pid), { flag: "wx" });
      return place;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
  throw new Error(`${mostClusters} clusters are up already`);
}

export class Cluster {
  readonly place: Place;
  readonly kubeconfig: string;
  /** The administrator's. */
  readonly admin: KubernetesClient;
  readonly objects: Objects;
  readonly #onExit = (): void => this.#remove();

  /** `owned`: it goes with this process. */
  constructor(place: Place, owned = true) {
    this.place = place;
    this.kubeconfig = join(place.state, "kubeconfig", "admin");
    const keys = join(place.state, "pki");
    const [certificateFile, keyFile] = [join(keys, "admin.crt"), join(keys, "admin.key")];
    this.admin = this.clientOf({ kind: "certificate", certificateFile, keyFile });
    this.objects = new Objects(this.admin);
    if (owned) process.once("exit", this.#onExit);
  }

  /** `bringUp`: instead of what brings it up by itself. */
  static async start({
    nodes = 1,
    bringUp = (place) => up(place, nodes),
  }: {
    readonly nodes?: number;
    readonly bringUp?: (place: Place) => Promise<unknown>;
  } = {}): Promise<Cluster> {
    const ready = setUp("node");
    if (ready.kind === "impossible") throw new Error(ready.why);
    removeStale();
    const place = reserve();
    try {
      await bringUp(place);
      return new Cluster(place);
    } catch (error) {
      down(place);
      rmSync(ownerFile(place.state), { force: true });
      throw error;
    }
  }

  /** The caller closes it. */
  clientOf(caller: Caller): KubernetesClient {
    const authorityPem = readFileSync(join(this.place.state, "pki", "ca.crt"), "utf8");
    return new KubernetesClient(`https://10.222.${this.place.index}.11:6443`, authorityPem, caller);
  }

  /** Throws what it wrote to standard error where it fails. */
  async kubectl(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run("kubectl", args);
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${stderr}`);
    return stdout;
  }

  helm(...args: readonly string[]): Promise<Answer> {
    return this.run("helm", args);
  }

  /** A program on the machine, with the cluster's kubeconfig. */
  run(program: string, args: readonly string[]): Promise<Answer> {
    const env = { ...environmentOf(this.place), KUBECONFIG: this.kubeconfig };
    return new Promise((resolve) => {
      execFile(program, args, { env, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : ((error.code as unknown as number | undefined) ?? -1), stdout, stderr });
      });
    });
  }

  /** Inside a node's namespaces: `n1`, `n2`, ... */
  inNode(node: string, ...command: readonly string[]): Promise<Answer> {
    return this.run(join(scripts, "node.sh"), [node, ...command]);
  }

  /** Of a node's first process. */
  pidOf(node: string): string {
    return readFileSync(join(this.place.state, "nodes", node, "pid"), "utf8").trim();
  }

  stop(): Promise<void> {
    this.admin.close();
    process.off("exit", this.#onExit);
    this.#remove();
    return Promise.resolve();
  }

  #remove(): void {
    down(this.place);
    rmSync(ownerFile(this.place.state), { force: true });
  }
}

/** Null where one can be started, else the reason to skip a test with. */
export function whyNoCluster(): string | null {
  const ready = setUp("node");
  return ready.kind === "ready" ? null : ready.why;
}
